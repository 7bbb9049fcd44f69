import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { documentedKeys, misfits, pathsOf } from "../../lab/cli-docs.ts";
import { Installation, localStorage, runProgram } from "../../lab/installation.ts";
import { withCatalog } from "../../lab/leftovers.ts";
import { onTerminal, screenOf } from "../../lab/machine/terminal.ts";
import { restoresInTrouble } from "../../lab/restores-in-trouble.ts";
import { restoresWithGlobals } from "../../lab/restores-with-globals.ts";
import { retained } from "../../lab/retained.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

const postgres = usePostgres();
/** A unique name, because test servers are shared. */
const OWNER = `cli_owner_${crypto.randomUUID().slice(0, 8)}`;
const ODD_END = crypto.randomUUID().slice(0, 8);
const ODD = `odd \u001b[31m ${ODD_END}`;

let installation: Installation;
let database: string;

beforeAll(async () => {
  database = postgres.newName("json");
  const admin = postgres.connect();
  // Makes pg_dump print a warning.
  await admin.unsafe(`create database ${database} template template0 locale_provider icu icu_locale 'de'`);
  await admin`update pg_database set datcollversion = '1' where datname = ${database}`;
  await postgres.createDatabase(ODD);
  const sql = postgres.connect(database);
  await sql.unsafe(`create role "${OWNER}"; create table item as select generate_series(1, 50) as id`);
  await sql.unsafe(`alter table item owner to "${OWNER}"`);
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [database],
    storages: (directory) => [localStorage("disk", directory), localStorage("usb", directory)],
    more: '[dump]\nlock_wait_timeout = "2s"',
  });
});
afterAll(async () => {
  await installation[Symbol.asyncDispose]();
  await postgres
    .connect(database)
    .unsafe(`drop owned by "${OWNER}"; drop role if exists "${OWNER}"`)
    .catch(() => {});
});

/** Runs with `--json`: stdout is one JSON document and nothing else. */
function jsonOf(of: Installation) {
  return async (...words: string[]) => {
    const ended = await of.run(...words, "--json");
    expect({ stdout: ended.stdout, isJson: ended.stdout.startsWith("{\n") }).toMatchObject({ isJson: true });
    return ended.json;
  };
}
const json = (...words: string[]) => jsonOf(installation)(...words);

/** Checks that the output is exactly as documented: no key more, no key less, every value of its type. */
function expectDocumented(heading: string, ...documents: unknown[]): void {
  const documented = documentedKeys(heading);
  expect(documented.length).toBeGreaterThan(0);
  for (const document of documents) expect(misfits(document, documented)).toEqual([]);
  expect(pathsOf(documents, documented)).toEqual(documented.map(({ path }) => path).sort());
}

test("backup, list, show, verify, repair and restore print the documented JSON", async () => {
  const backup = await json("backup");
  const [{ backup_id: id }] = backup.backups;

  const lists = [await json("list"), await json("list", "--status", "verified")];
  expectDocumented("JSON of list", ...lists);
  expect(lists[1].backups[0]).toMatchObject({ id, status: "VERIFIED", database });

  const shown = await json("show", id);
  const keysOfOne = documentedKeys("JSON of list").map((key) => ({
    ...key,
    path: key.path.slice("backups[].".length),
  }));
  const documented = [...keysOfOne, ...documentedKeys("JSON of show")];
  expect(misfits(shown, documented)).toEqual([]);
  expect(pathsOf([shown], documented)).toEqual(documented.map(({ path }) => path).sort());

  await rm(join(installation.directory, "usb", shown.object_key));
  const verified = await json("verify", "--all");
  expectDocumented("JSON of verify", verified);
  expect(verified.copies.map(({ verdict }: { verdict: string }) => verdict)).toEqual(["good", "missing"]);

  expectDocumented("JSON of repair --dry-run", await json("repair", "--dry-run"));
  const repaired = await json("repair");
  expectDocumented("JSON of repair", repaired);
  expect(repaired.copies).toMatchObject([{ storage: "usb", outcome: "filled" }]);

  expectDocumented("JSON of restore-test", await json("restore-test"));

  const restored = `${database}_restored`;
  postgres.dropAtEnd(restored);
  const done = await json("restore", id, "--target", `main/${restored}`, "--create");
  await postgres.connect(restored).unsafe("alter table item owner to current_user");
  await postgres.connect(database).unsafe(`alter table item owner to current_user; drop role "${OWNER}"`);
  const dry = await json("restore", id, "--target", `main/${restored}`, "--create-roles", "--dry-run");
  const withGlobals = await restoresWithGlobals(json, installation, postgres.connect, {
    address: postgres.address,
    source: database,
    target: `${database}_globals`,
  });
  expectDocumented(
    "JSON of restore",
    ...withGlobals,
    done,
    dry,
    ...(await restoresInTrouble(json, postgres.connect, {
      source: database,
      target: restored,
    })),
  );
  expect(dry).toMatchObject({ lacks: [{ kind: "role", name: OWNER }], target_contents: ["1 relation"] });

  await installation.configure({ globals: true });
  expectDocumented("JSON of backup", backup, await json("backup"));
  await installation.configure({ globals: false });
}, 60_000);

test("a failure is also in the JSON, as documented", async () => {
  await installation.configure({
    server: 'connect_timeout = "2s"',
    postgres: { ...postgres.address, port: 1 },
  });
  const failed = await json("backup");
  await installation.configure({ server: "", postgres: postgres.address });
  expect(misfits(failed, documentedKeys("JSON of backup"))).toEqual([]);
  expect(failed).toMatchObject({
    outcome: "FAILED",
    backups: [{ server: "main", database: null, status: "FAILED" }],
  });
});

describe("cleanup, delete, forget and alerts print the documented JSON:", () => {
  const made = () =>
    retained(postgres, {
      settings: { disk: { "keep.days": 1 } },
      others: (directory) => [localStorage("usb", directory)],
      more: '[[notify]]\nname = "all"\ntype = "command"\nargv = ["/bin/true"]\nmin_level = "INFO"',
    });
  // biome-ignore lint/suspicious/noExplicitAny: the output of a program.
  const nameLess = ({ storages, ...rest }: any) => ({ ...rest, storages: { NAME: storages.disk } });

  test("cleanup and its alerts", async () => {
    await using at = await made();
    const { installation } = at;
    const print = jsonOf(installation);
    const old = await at.backup(2);
    const newest = await at.backup(0);
    await writeFile(join(installation.directory, "disk/stray"), "unknown");
    for (const file of await installation.files("usb"))
      if (file.includes(newest.slice(0, 8))) await rm(join(installation.directory, "usb", file));
    await at.lose("disk", newest);
    // No copy of the newest backup exists: that is reported, and the old backup stays.
    const troubled = await print("cleanup");
    expect(troubled).toMatchObject({ outcome: "PARTIAL", missing: 2, orphans: [{ objects: 1 }] });
    const tomorrow = new Date(Date.now() + 86_400_000).toISOString();
    await withCatalog(installation, (catalog) =>
      catalog.updateBackup(old, { started_at: tomorrow, finished_at: tomorrow }),
    );
    const doubted = await print("cleanup", "--dry-run");
    expect(doubted).toMatchObject({ run_id: null, clock_suspected: true });
    expectDocumented("JSON of cleanup", nameLess(troubled), nameLess(doubted));

    const alerts = await print("alerts");
    expectDocumented("JSON of alerts", alerts);
    expectDocumented("JSON of alerts ack", await print("alerts", "ack", "all"));
  }, 60_000);

  test("delete, forget, and the history", async () => {
    await using at = await made();
    const print = jsonOf(at.installation);
    const id = await at.backup(0);
    await at.backup(0);
    const deleted = await print("delete", id);
    const [{ database }] = (await print("list")).backups;
    const forgotten = await print("forget", database, "--yes", database);
    expectDocumented("JSON of delete", deleted, forgotten);
    expectDocumented("JSON of list --removed", await print("list", "--removed"));
  }, 60_000);
});

test("check and key print the documented JSON", async () => {
  const bucket = [
    '[[storage]]\nname = "b2"\ntype = "s3"\nprovider = "backblaze-b2"\nregion = "us-east-005"',
    'bucket = "backups"\naccess_key_id = "a"\nsecret_access_key = "b"\nkeep.days = 20\nexpire = { archive_to = "usb" }',
    'lock = { mode = "governance", days = 7 }\nbackfill = "30d"',
    '[[storage]]\nname = "r2"\ntype = "s3"\nprovider = "cloudflare-r2"\naccount_id = "0123456789abcdef0123456789abcdef"\nbucket = "backups"',
    'access_key_id = "a"\nsecret_access_key = "b"\nimmutable = { by = "bucket-rule", days = 7 }',
  ].join("\n");
  const notifiers = [
    'type = "webhook"\nurl = "https://a.example/hook"',
    'type = "slack"\nurl = "https://a.example/hook"',
    'type = "ntfy"\nurl = "https://a.example"\ntopic = "t"',
    'type = "email"\nhost = "a.example"\nfrom = "a@a.example"\nto = ["b@a.example"]',
    'type = "healthchecks"\nurl = "https://a.example/ping"',
    'type = "command"\nargv = ["/bin/true"]',
  ].map((lines, index) => `[[notify]]\nname = "n${index}"\n${lines}`);
  const daemon = [
    `[rule]\ntrusted_provers = ["${(await json("key", "show")).signer}"]`,
    '[[schedule.override]]\nname = "busy"\ndatabases = ["app"]\nbackup = "@hourly"',
    '[[database]]\nname = "*"\nrestore_test.excluded = true',
    '[http]\nlisten = "unix:/run/pg321/http.sock"\nhosts = ["backup.example.com"]',
    '[restore_test]\nallowed_errors = ["x"]\n[[restore_test.check]]\nname = "a"\nsql = "select 1"\nexpect = 1',
  ];
  const more = [bucket, ...notifiers, ...daemon].join("\n");
  await installation.configure({ more, server: 'exclude = ["x"]' });
  const file = join(installation.directory, "open.toml");
  await writeFile(file, await Bun.file(installation.configFile).text(), { mode: 0o644 });
  const documents = [await json("check"), (await runProgram(["check", "--json", "-c", file], {})).json];
  // Before anything can fail: no other test may connect to a real provider.
  await installation.configure({ more: '[catalog]\nurl = "postgres://a.example/pg321"', server: "" });
  documents.push(await json("check", "--offline"));
  await installation.configure({ more: "", server: "" });
  expectDocumented("JSON of check", ...documents);
  const identity = ["--identity", join(installation.directory, "k/i.txt")];
  const signingKey = ["--signing-key", join(installation.directory, "k/s")];
  expectDocumented("JSON of key generate", await json("key", "generate", ...identity, ...signingKey));
  const rotated = [await json("key", "rotate", ...identity), await json("key", "rotate")];
  expectDocumented("JSON of key rotate", ...rotated);
  expectDocumented("JSON of key show", await json("key", "show"), await json("key", "show", ...identity));
});

const BEGUN = /backup main\/odd .* 0 B, 0% of about .* disk 0 B +usb 0 B[\s\S]*\u001b\[1A\u001b\[J/;
describe("on a terminal", () => {
  test("a long backup shows its progress, and in the end only its result", async () => {
    await installation.configure({ databases: [`odd*${ODD_END}`] });
    const sql = postgres.connect(ODD);
    await sql.unsafe("create table held (id int)");
    const release = Promise.withResolvers<void>();
    const isHeld = Promise.withResolvers<void>();
    // pg_dump waits for this lock, so the backup lasts until its progress was on the terminal.
    const holding = sql.begin(async (transaction) => {
      await transaction.unsafe("lock table held in access exclusive mode");
      isHeld.resolve();
      await release.promise;
    });
    await isHeld.promise;
    const program = onTerminal(["backup"], { PG321_CONFIG: installation.configFile, COLORTERM: "" });
    await program.shows(BEGUN);
    release.resolve();
    await holding;
    const { exitCode, written } = await program.ended;
    expect(exitCode).toBe(0);
    expect(written).not.toContain(ODD);
    const screen = screenOf(written);
    expect(screen.filter((line) => line.includes("% of"))).toEqual([]);
    expect(screen.filter((line) => !/ warning /.test(line))).toEqual([
      expect.stringMatching(/^ID +DATABASE +STATUS +DUMP +STORED +TIME +RATE +COPIES$/),
      expect.stringMatching(/^[0-9a-f]{8} +main\/odd \ufffd\[31m \w+ +complete .* disk, usb$/),
    ]);
  }, 60_000);

  test("Ctrl-C leaves nothing of the progress, and the error says that it was interrupted", async () => {
    await installation.configure({ databases: [`odd*${ODD_END}`] });
    const sql = postgres.connect(ODD);
    await sql.unsafe("create table interrupted (id int)");
    const release = Promise.withResolvers<void>();
    const isHeld = Promise.withResolvers<void>();
    // pg_dump waits for this lock, so the backup lasts until its progress was on the terminal.
    const holding = sql.begin(async (transaction) => {
      await transaction.unsafe("lock table interrupted in access exclusive mode");
      isHeld.resolve();
      await release.promise;
    });
    await isHeld.promise;
    const storageErrors = async () =>
      (await installation.run("status", "--json")).json.storages.map(
        ({ errors }: { errors: number }) => errors,
      );
    const before = await storageErrors();
    const program = onTerminal(["backup"], { PG321_CONFIG: installation.configFile, COLORTERM: "" });
    await program.shows(BEGUN);
    program.type("\u0003");
    const { exitCode, written } = await program.ended;
    release.resolve();
    await holding;
    expect(exitCode).toBe(130);
    const screen = screenOf(written);
    expect(screen.filter((line) => line.includes("% of") || line.includes("^C"))).toEqual([]);
    expect(screen.at(-1)).toBe("error: interrupted by hand");
    const [, newest = ""] = (await installation.ok("list", "--limit", "1")).stdout.split("\n");
    expect(newest).toMatch(/ interrupted by hand +- +- +-$/);
    const shown = (await installation.ok("show", newest.slice(0, 8))).stdout;
    expect(shown).toMatch(/^status +interrupted by hand$/m);
    expect(shown).not.toMatch(/failed|FAILED|SIGINT/);
    expect((await installation.ok("status")).stdout).toContain("interrupted by hand at ");
    expect(await storageErrors()).toEqual(before);
  }, 60_000);

  test("raw bytes are not written to it", async () => {
    const [{ id }] = (await installation.ok("list", "--json")).json.backups;
    for (const words of [
      ["restore", id, "--output", "-"],
      ["unseal", "-"],
    ]) {
      const { exitCode, written } = await onTerminal(words, { PG321_CONFIG: installation.configFile }).ended;
      expect(exitCode).toBe(2);
      expect(screenOf(written)).toContain("hint: redirect it to a file with >, or to a program with |");
    }
  });
});

test("without a terminal, progress and warnings are in the log, on stderr, without escape sequences", async () => {
  await installation.configure({ databases: [`odd*${ODD_END}`] });
  const { stdout, stderr } = await installation.ok("backup", "--json", "--log-level", "debug");
  expect(JSON.parse(stdout).outcome).toBe("OK");
  expect(stderr).toContain(" info    backup done server=main database=");
  expect(stdout + stderr).not.toMatch(/[^\P{Cc}\n]/u);
  const asJson = await installation.ok("backup", "--log-format", "json");
  const lines = asJson.stderr.trimEnd().split("\n");
  expect(lines.length).toBeGreaterThan(0);
  for (const line of lines) expect(JSON.parse(line.replace(/^<\d>/, ""))).toHaveProperty("message");
});

test("storages on the disk of the server cause one warning, and another one only for a further storage", async () => {
  const databases = [database, `odd*${ODD_END}`];
  await using fresh = await Installation.make({
    postgres: postgres.address,
    databases,
    storages: (directory) => [localStorage("disk", directory), localStorage("usb", directory)],
  });
  const warned = async () => {
    const { stderr } = await fresh.ok("backup", "--json");
    const found = stderr.matchAll(
      / warning a local storage is on the same device [^\n]*storage=("[^"]*"|\w+) /g,
    );
    return [...found].map(([, storage]) => storage);
  };
  expect([await warned(), await warned()]).toEqual([['"disk, usb"'], []]);
  expect((await fresh.ok("alerts", "--unacknowledged", "--json")).json.alerts).toEqual([]);
  await fresh.configure({ databases, storages: (directory) => [localStorage("disk", directory)] });
  expect(await warned()).toEqual([]);
  await fresh.configure({
    databases,
    storages: (directory) => ["disk", "new"].map((name) => localStorage(name, directory)),
  });
  expect([await warned(), await warned()]).toEqual([['"disk, new"'], []]);
});

test("a reader of a dump that closes the pipe early is reported in one line, without a stack trace", async () => {
  const [{ id }] = (await installation.ok("list", "--json")).json.backups;
  const child = installation.start("restore", id, "--output", "-");
  await child.stdout.cancel();
  const [exitCode, stderr] = await Promise.all([child.exited, new Response(child.stderr).text()]);
  expect(exitCode).toBe(13);
  expect(stderr).toMatch(/^error: stdout: the reader closed the pipe before the end\nhint: .*\n$/m);
});
