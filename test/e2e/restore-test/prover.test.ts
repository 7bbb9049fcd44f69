import { expect, setDefaultTimeout, test } from "bun:test";
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Ended,
  type Installation,
  localStorage,
  runProgram,
  s3Storage,
} from "../../lab/installation.ts";
import { rgw } from "../../lab/servers/s3.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";
import { useInstallations } from "../../lab/use-installations.ts";

setDefaultTimeout(180_000);

const postgres = usePostgres();
const installations = useInstallations(postgres);

/** A host with the identity and the storages of another one, but no databases and no catalog. */
class Prover implements AsyncDisposable {
  readonly directory: string;
  signer = "";

  constructor(directory: string) {
    this.directory = directory;
  }

  static async of(owner: Installation): Promise<Prover> {
    const prover = new Prover(await mkdtemp(join(tmpdir(), "pg321-prover-")));
    await copyFile(owner.identityFile, prover.#path("identity.txt"));
    await mkdir(prover.#path("state"), { mode: 0o700 });
    const { json } = await prover.run(
      ...["key", "generate", "--prover", "--identity", prover.#path("identity.txt")],
      ...["--signing-key", prover.#path("state/signing.key"), "--json"],
    );
    prover.signer = json.signer;
    const config = await readFile(owner.configFile, "utf8");
    const storages = config.slice(config.indexOf("[[storage]]")).replace(/\[rule\][\s\S]*$/, "");
    await writeFile(
      prover.#path("config.toml"),
      [
        `state_dir = ${JSON.stringify(prover.#path("state"))}`,
        "[encryption]",
        `recipients = ["${owner.recipient}"]`,
        `identity_file = ${JSON.stringify(prover.#path("identity.txt"))}`,
        "[restore_test]",
        "adopt = true",
        storages,
      ].join("\n"),
      { mode: 0o600 },
    );
    return prover;
  }

  run(...words: string[]): Promise<Ended> {
    return runProgram(words, { PG321_CONFIG: this.#path("config.toml") });
  }

  #path(name: string): string {
    return join(this.directory, name);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return rm(this.directory, { recursive: true });
  }
}

test("another host tests the backups; the first host, without an identity, counts its results and no others", async () => {
  const s3 = await rgw();
  const bucket = await s3.makeBucket();
  const storages = (directory: string) => [localStorage("disk", directory), s3Storage("r2", s3, bucket)];
  const owner = await installations.install(storages);
  const id = await owner.backUp();
  await using prover = await Prover.of(owner);

  const tested = await prover.run("restore-test", "--json");
  expect(tested.stderr).not.toContain("could not");
  expect(tested.exitCode).toBe(0);
  expect(tested.json.tests).toMatchObject([{ outcome: "PASSED", backup_id: id, storage: "disk" }]);
  const results = (await owner.files("disk")).filter((file) => file.includes(".restore-test."));
  expect(results).toHaveLength(1);
  // The next test reads from the other storage, and leaves its result there.
  expect((await prover.run("restore-test", "--json")).json.tests).toMatchObject([{ storage: "r2" }]);

  const status = (await prover.run("status", "--json")).json;
  expect(status.databases).toMatchObject([{ state: "elsewhere", gone_at: null }]);
  const shown = (await prover.run("status")).stdout;
  expect(shown).toContain("of another installation, which this host tests");
  expect(shown).not.toContain("gone");
  const { stdout } = await prover.run("doctor");
  expect(stdout).not.toMatch(/3-2-1|every identity in the file is newer|does not list this installation/);
  for (const words of [["cleanup"], ["repair"], ["backup"], ["delete", id, "--force"]]) {
    const refused = await prover.run(...words);
    expect([words, refused.exitCode]).toEqual([words, 2]);
    expect(refused.stderr).toContain("this host has no [[server]]");
  }
  // The owner has no identity from here on.
  await rm(owner.identityFile);
  await owner.configure({ more: `[rule]\ntrusted_provers = ["${prover.signer}"]\n` });
  await owner.ok("cleanup");
  expect(await zeroOf(owner)).toMatchObject({ state: "held" });
});

test("a result of a signer who is not trusted counts for nothing", async () => {
  const owner = await installations.install((directory) => [localStorage("disk", directory)]);
  await owner.ok("backup");
  await using prover = await Prover.of(owner);
  expect((await prover.run("restore-test")).exitCode).toBe(0);
  await using other = await Prover.of(owner);
  await owner.configure({ more: `[rule]\ntrusted_provers = ["${other.signer}"]\n` });
  const cleaned = await owner.ok("cleanup", "--json");
  expect(cleaned.json.orphan_objects).toEqual([]);
  expect(cleaned.stderr).toContain("not a trusted prover");
  expect(await zeroOf(owner)).not.toMatchObject({ state: "held" });
});

test("the owner removed the newest backup: the host tests the one that is left, and reports nothing missing", async () => {
  const owner = await installations.install((directory) => [localStorage("disk", directory)]);
  const older = await owner.backUp();
  const newest = await owner.backUp();
  await using prover = await Prover.of(owner);
  expect((await prover.run("restore-test", "--json")).json.tests).toMatchObject([{ backup_id: newest }]);
  await owner.ok("delete", newest, "--force");
  const tested = await prover.run("restore-test", "--json");
  expect(tested.json.tests).toMatchObject([{ backup_id: older, outcome: "PASSED" }]);
  expect((await owner.files("disk")).filter((file) => file.includes(newest.slice(0, 8)))).toEqual([]);
  expect((await prover.run("alerts", "--json")).json.alerts).toEqual([]);
});

/** The mark for the last restore test. */
async function zeroOf(owner: Installation) {
  const { databases } = (await owner.ok("status", "--json")).json;
  return databases[0].marks.find(({ rule }: { rule: string }) => rule === "zero_errors");
}
