import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Glob } from "bun";
import { tableDigests } from "./lab/data/table-digests.ts";
import { runProgram } from "./lab/installation.ts";
import { usePostgres } from "./lab/servers/use-postgres.ts";

/** Made by `scripts/make-release-fixture.ts`, one for each released version. */
const DIRECTORY = join(import.meta.dir, "releases");
const VERSIONS = [...new Glob("*.tar.gz").scanSync({ cwd: DIRECTORY })].map((name) =>
  name.replace(".tar.gz", ""),
);
/** A record may gain fields; these mean the same in every version. */
const FIELDS = [
  ...["id", "installation", "server", "database", "status", "object_key", "dump_bytes", "object_bytes"],
  ...["object_sha256", "compression", "encryption", "previous_id", "held_at", "hold_until", "started_at"],
];

const lab = usePostgres();

test("every released version has a fixture", () => {
  expect(VERSIONS).toContain("0.1.0");
});

describe.each(VERSIONS)("what %s left behind", (version) => {
  let directory = "";
  const pg321 = (...words: string[]) => runProgram(words, { PG321_CONFIG: join(directory, "config.toml") });
  const ok = async (...words: string[]) => {
    const ended = await pg321(...words);
    expect(`${words.join(" ")}: exit ${ended.exitCode}\n${ended.stderr}`).toStartWith(
      `${words.join(" ")}: exit 0\n`,
    );
    return ended;
  };
  const textOf = (name: string) => readFile(join(directory, name), "utf8");
  const chosen = (backups: Record<string, unknown>[]) =>
    backups.map((backup) => Object.fromEntries(FIELDS.map((field) => [field, backup[field]])));
  const listed = async () => chosen((await ok("list", "--json")).json.backups);

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "pg321-release-"));
    const tar = Bun.spawn(["tar", "-xzf", join(DIRECTORY, `${version}.tar.gz`), "-C", directory]);
    expect(await tar.exited).toBe(0);
    const { port, user, password } = lab.address;
    const config = (await textOf("config.toml"))
      .replaceAll("@directory@", directory)
      .replace(/^port = .*$/m, `port = ${port}`)
      .replace(/^user = .*$/m, `user = "${user}"`)
      .replace(/^password = .*$/m, `password = "${password}"`);
    await writeFile(join(directory, "config.toml"), config);
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  test("its config and its catalog open, with every backup as it was", async () => {
    await ok("check", "--offline");
    expect(await listed()).toEqual(chosen(JSON.parse(await textOf("list.json")).backups));
  });

  test("its copies verify", async () => {
    await ok("verify", "--json");
  });

  test("its backups restore, row for row", async () => {
    const target = await lab.createDatabase();
    await ok("restore", "latest", "-d", "shop", "--target", lab.url(target), "--create-roles");
    expect(await tableDigests(lab.connect(target))).toEqual(JSON.parse(await textOf("tables.json")));
  });

  test("a sealed file opens without catalog and config", async () => {
    const [backup] = await listed();
    const output = join(directory, "opened.dump");
    const words = ["unseal", join(directory, "disk", String(backup?.["object_key"]))];
    await ok(...words, "--identity", join(directory, "identity.txt"), "--output", output);
    expect(Bun.file(output).size).toBe(Number(backup?.["dump_bytes"]));
  });

  test("a new catalog is rebuilt from its storage", async () => {
    // Holds are in the catalog only.
    const before = (await listed()).map((backup) => ({ ...backup, held_at: null }));
    await rm(join(directory, "state"), { recursive: true });
    await ok("cleanup", "--adopt");
    expect(await listed()).toEqual(before);
  });
});
