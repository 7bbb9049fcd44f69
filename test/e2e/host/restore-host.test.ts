import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmod, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { documentedKeys, misfits } from "../../lab/cli-docs.ts";
import { Installation, localStorage, s3Storage } from "../../lab/installation.ts";
import { onTerminal, programOnTerminal } from "../../lab/machine/terminal.ts";
import { rgw } from "../../lab/servers/s3.ts";
import { compareByName, usePostgres } from "../../lab/servers/use-postgres.ts";

const SECURITY = join(import.meta.dir, "../../../docs/security.md");
const PASSPHRASE = "correct horse battery";

const postgres = usePostgres();
let installation: Installation;
let database: string;
let at: (name: string) => string;
let exported: string;
let phrase: string[];
beforeAll(async () => {
  database = await postgres.createDatabase();
  await postgres.connect(
    database,
  )`create table kept as select n, md5(n::text) from generate_series(1, 500) n`;
  const address = await rgw();
  const bucket = await address.makeBucket();
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [database],
    storages: (directory) => [
      localStorage("disk", directory),
      s3Storage("cloud", address, bucket)
        .replace(/access_key_id = .*/, `access_key_id = { file = "${directory}/cloud-id" }`)
        .replace(/secret_access_key = .*/, 'secret_access_key = { credential = "cloud-key" }'),
    ],
  });
  at = (name) => join(installation.directory, name);
  await mkdir(at("credentials"), { mode: 0o700 });
  await writeFile(at("credentials/cloud-key"), `${address.secret_access_key}\n`, { mode: 0o600 });
  await writeFile(at("cloud-id"), address.access_key_id, { mode: 0o640 });
  await writeFile(at("phrase"), `${PASSPHRASE}\n`);
  await writeFile(at("wrong"), "incorrect horse battery\n");
  exported = at("host.age");
  phrase = ["--passphrase-file", at("phrase")];
  await installation.ok("backup");
  const { stdout } = await installation.ok("export-keys", exported, ...phrase);
  expect(stdout).toContain("to a place that survives the loss of this host");
}, 120_000);
afterAll(() => installation[Symbol.asyncDispose]());

const FILES = ["config.toml", "cloud-id", "credentials/cloud-key", "identity.txt", "signing.key"];
const contents = () => Promise.all(FILES.map((name) => readFile(at(name), "utf8")));
const modes = () => Promise.all(FILES.map(async (name) => (await stat(at(name))).mode & 0o777));

/** Everything but what a person keeps elsewhere and what lies in the storages. */
async function loseHost(): Promise<void> {
  for (const name of [...FILES, "credentials", "state"]) await rm(at(name), { recursive: true, force: true });
}

test("the export is one small private file, which stock age opens: JSON with every file of the list", async () => {
  expect((await stat(exported)).mode & 0o777).toBe(0o600);
  const opened = at("host.json");
  const program = programOnTerminal(["age", "-d", "-o", opened, exported]);
  await program.shows(/passphrase/i);
  program.type(`${PASSPHRASE}\r`);
  expect((await program.ended).exitCode).toBe(0);
  const json = JSON.parse(await readFile(opened, "utf8"));
  expect(json).toMatchObject({ format: "pg321 host 1", config_file: installation.configFile });
  // The recipe of docs/security.md, word for word but for the path.
  const recipe =
    /^age -d .*\n((?:python3 (?:.*\\\n)?.*\n)+)```$/m.exec(await readFile(SECURITY, "utf8"))?.[1] ?? "";
  const shell = [
    "bash",
    "-ec",
    recipe.replaceAll("/etc/pg321/identity.txt > identity.txt", `${at("identity.txt")} > found.txt`),
  ];
  const ran = Bun.spawnSync(shell, { cwd: installation.directory });
  expect(ran.stdout.toString().trim().split("\n").sort()).toEqual(FILES.map(at).sort());
  expect(await readFile(at("found.txt"), "utf8")).toBe(await readFile(at("identity.txt"), "utf8"));
  const listed = json.files.map(({ path, text }: { path: string; text: string }) => [path, text]);
  expect(listed.sort()).toEqual(
    (await contents()).map((text, index) => [at(FILES[index] ?? ""), text]).sort(),
  );
});

test("a host that is lost comes back whole, and its database is restored", async () => {
  const before = [await contents(), await modes()];
  await loseHost();
  const dry = await installation.ok("restore-host", exported, ...phrase, "--dry-run");
  expect(dry.stdout).toContain(at("signing.key"));
  expect(await readdir(installation.directory)).not.toContain("config.toml");
  const { json } = await installation.ok("restore-host", exported, ...phrase, "--json");
  expect(misfits(json, documentedKeys("JSON of restore-host"))).toEqual([]);
  expect([await contents(), await modes()]).toEqual(before);
  expect((await stat(at("credentials"))).mode & 0o777).toBe(0o700);
  expect(json.storages).toEqual([
    { storage: "disk", adopted: 1, left: 0, error: null },
    { storage: "cloud", adopted: 1, left: 0, error: null },
  ]);
  const target = await postgres.createDatabase();
  await installation.ok("restore", "latest", "-d", database, "--from", "cloud", "--target", `main/${target}`);
  const { differences } = await compareByName(postgres, database, target);
  expect(differences).toEqual([]);
  // The new host is the old installation: it goes on backing up, and repairs and verifies what is there.
  await installation.ok("backup");
  await installation.ok("verify", "--all");
});

test("a second time everything is right, and nothing is written", async () => {
  const { json } = await installation.ok("restore-host", exported, ...phrase, "--json");
  expect(new Set(json.steps.map(({ state }: { state: string }) => state))).toEqual(new Set(["right"]));
  expect(json.storages.map(({ adopted }: { adopted: number }) => adopted)).toEqual([0, 0]);
});

test("without a file the catalog alone is filled, also without the signing key: the identity names the signer", async () => {
  await rm(at("state"), { recursive: true });
  await rename(at("signing.key"), at("away.key"));
  const { json } = await installation.ok("restore-host", "--json");
  await rename(at("away.key"), at("signing.key"));
  expect(json).toMatchObject({ exported_at: null, steps: [] });
  expect(json.storages[0].adopted).toBeGreaterThan(0);
});

describe("what stands in the way", () => {
  test("a wrong passphrase", async () => {
    const wrong = ["--passphrase-file", at("wrong")];
    const { exitCode, stdout, stderr } = await installation.run("restore-host", exported, ...wrong);
    expect({ exitCode, stdout }).toEqual({ exitCode: 12, stdout: "" });
    expect(stderr).toBe(
      `error: export ${exported}: the passphrase does not open it\nhint: try the passphrase that the file was made with\n`,
    );
  });

  test("a damaged file, and one of another kind", async () => {
    const lines = (await readFile(exported, "utf8")).split("\n");
    const middle = lines.length - 4;
    const line = lines[middle] ?? "";
    await writeFile(at("damaged"), lines.with(middle, line.toLowerCase()).join("\n"));
    const damaged = await installation.run("restore-host", at("damaged"), ...phrase);
    expect(damaged).toMatchObject({ exitCode: 14, stdout: "" });
    expect(damaged.stderr).toContain("damaged or incomplete");
    const other = await installation.run("restore-host", at("identity.txt"), ...phrase);
    expect(other).toMatchObject({ exitCode: 12, stdout: "" });
    expect(other.stderr).toContain("not a file that pg321 export-keys wrote");
  });

  test("a file that is here with other contents is kept and named; --replace keeps it under another name", async () => {
    await writeFile(at("signing.key"), "another key\n");
    await chmod(at("cloud-id"), 0o644);
    await rm(at("identity.txt"));
    const dry = await installation.run("restore-host", exported, ...phrase, "--dry-run", "--json");
    expect(dry.exitCode).toBe(2);
    const states = (json: { steps: { what: string; state: string }[] }) =>
      Object.fromEntries(
        json.steps.map(({ what, state }) => [what.slice(installation.directory.length + 1), state]),
      );
    const expected = { "config.toml": "right", "cloud-id": "planned", "credentials/cloud-key": "right" };
    expect(states(dry.json)).toEqual({ ...expected, "identity.txt": "planned", "signing.key": "attention" });
    const refused = await installation.run("restore-host", exported, ...phrase);
    expect(refused).toMatchObject({ exitCode: 2, stdout: "" });
    expect(refused.stderr).toContain(
      `nothing was written: a file is already here with other contents: ${at("signing.key")}\n`,
    );
    expect(await readFile(at("signing.key"), "utf8")).toBe("another key\n");
    expect(await readdir(installation.directory)).not.toContain("identity.txt");
    await installation.ok("restore-host", exported, ...phrase, "--replace");
    const kept = (await readdir(installation.directory)).filter((name) =>
      name.startsWith("signing.key.replaced-"),
    );
    expect(kept.length).toBe(1);
    expect(await readFile(at(kept[0] ?? ""), "utf8")).toBe("another key\n");
    expect(await readFile(at("signing.key"), "utf8")).toContain("BEGIN PRIVATE KEY");
    expect(await modes()).toContain(0o640);
  });

  test("an export never replaces a file, and its passphrase is not a short one", async () => {
    const text = await readFile(exported, "utf8");
    const again = await installation.run("export-keys", exported, ...phrase);
    expect(again).toMatchObject({ exitCode: 12, stdout: "" });
    expect(again.stderr).toContain("already exists");
    expect(await readFile(exported, "utf8")).toBe(text);
    await writeFile(at("short"), "elevenchars");
    const short = await installation.run("export-keys", at("new"), "--passphrase-file", at("short"));
    expect(short).toMatchObject({ exitCode: 2, stdout: "" });
    expect(short.stderr).toContain("a passphrase needs at least 12 characters");
    const unasked = await installation.run("export-keys", at("new"));
    expect(unasked).toMatchObject({ exitCode: 2, stdout: "" });
    expect(unasked.stderr).toContain("hint: use --passphrase-file FILE");
  });

  test("a credential that is gone is named, and the export holds the rest (exit 3)", async () => {
    await rm(at("credentials/cloud-key"));
    const { exitCode, json } = await installation.run("export-keys", at("rest.age"), ...phrase, "--json");
    expect(exitCode).toBe(3);
    expect(misfits(json, documentedKeys("JSON of export-keys"))).toEqual([]);
    const missing = json.files.filter(({ size_bytes }: { size_bytes: number | null }) => size_bytes === null);
    expect(missing).toMatchObject([{ role: "credential", path: at("credentials/cloud-key") }]);
    await loseHost();
    const back = await installation.run("restore-host", at("rest.age"), ...phrase, "--json");
    expect(back.exitCode).toBe(3);
    expect(back.json.storages).toEqual([
      { storage: "disk", adopted: expect.any(Number), left: 0, error: null },
      {
        storage: "cloud",
        adopted: 0,
        left: 0,
        error: expect.stringContaining(
          'storage "cloud": not usable: secret_access_key: credential "cloud-key"',
        ),
      },
    ]);
    const target = await postgres.createDatabase();
    await installation.ok("restore", "latest", "-d", database, "--target", `main/${target}`);
    expect((await compareByName(postgres, database, target)).differences).toEqual([]);
  });
});

test("on a terminal the passphrase of an export is asked for twice", async () => {
  const file = at("typed.age");
  const program = onTerminal(["export-keys", file], { PG321_CONFIG: installation.configFile });
  await program.shows(/New passphrase: $/);
  program.type(`${PASSPHRASE}\r`);
  await program.shows(/Again: $/);
  program.type(`${PASSPHRASE}\r`);
  const { written } = await program.ended;
  expect(written).not.toContain(PASSPHRASE);
  expect(await readFile(file, "utf8")).toStartWith("-----BEGIN AGE ENCRYPTED FILE-----");
});
