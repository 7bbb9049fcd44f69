import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { documentedKeys, misfits } from "../../lab/cli-docs.ts";
import { Installation, localStorage } from "../../lab/installation.ts";
import { watched } from "../../lab/machine/running.ts";
import { connectTo, disposable } from "../../lab/servers/postgres.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

/** The catalog of a real installation moves into PostgreSQL and back, with the commands of the documentation. */

const postgres = usePostgres();
let installation: Installation;
let [source, target, url, file]: string[] = [];

beforeAll(async () => {
  source = await postgres.createDatabase();
  {
    await using admin = disposable(connectTo(postgres.address, source));
    await admin.sql`create table t as select n from generate_series(1, 1000) as n`;
  }
  target = await postgres.createDatabase();
  url = postgres.url(target);
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [source],
    storages: (directory) => [localStorage("disk", directory)],
  });
  file = join(installation.directory, "state", "catalog.db");
  await installation.ok("backup");
});
afterAll(() => installation?.[Symbol.asyncDispose]());

/** So many runs that a copy takes a while. */
function addRuns(path: string, count: number): void {
  using database = new Database(path);
  const columns = database
    .query<{ name: string }, []>("SELECT name FROM pragma_table_info('runs')")
    .all()
    .map(({ name }) => (name === "id" ? "printf('%08d', i)" : name));
  database.run(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})
    INSERT INTO runs SELECT ${columns.join(", ")} FROM n, (SELECT * FROM runs WHERE job = 'backup' LIMIT 1)`);
}

test("killed in the middle, it goes on where it was; then list, verify and restore work with the copy", async () => {
  addRuns(String(file), 30_000);
  const dry = await installation.ok("catalog", "copy", "--to", String(url), "--dry-run", "--json");
  expect(dry.json).toMatchObject({ dry_run: true, target: "new", outcome: null });
  expect(misfits(dry.json, documentedKeys("JSON of catalog"))).toEqual([]);
  const child = installation.start("catalog", "copy", "--to", String(url));
  await using onTarget = disposable(connectTo(postgres.address, String(target)));
  const count = async () => {
    const [row] = await onTarget.sql`select to_regclass('pg321.unfinished_copy') is not null as is_there`;
    const [runs] = row?.["is_there"] ? await onTarget.sql`select count(*)::int as runs from pg321.runs` : [];
    return Number(runs?.["runs"] ?? 0);
  };
  while ((await count()) === 0) await Bun.sleep(5);
  child.kill("SIGKILL");
  await child.exited;
  const there = await count();
  expect(there).toBeGreaterThan(0);
  expect(there).toBeLessThan(30_000);
  const config = await Bun.file(installation.configFile).text();
  await installation.configure({ more: `[catalog]\nurl = '${url}'` });
  const early = await installation.run("list");
  expect([early.exitCode, early.stderr]).toEqual([
    2,
    expect.stringContaining("an unfinished copy of catalog "),
  ]);
  await writeFile(installation.configFile, config);

  const copied = await installation.ok(
    "catalog",
    "copy",
    "--to",
    String(url),
    "--json",
    "--progress",
    "json",
  );
  expect(copied.json).toMatchObject({ outcome: "resumed", from: file, daemons: [] });
  expect(misfits(copied.json, documentedKeys("JSON of catalog"))).toEqual([]);
  const lines = copied.stderr.split("\n").flatMap((line) => (line.startsWith("{") ? [JSON.parse(line)] : []));
  expect(
    lines
      .filter(({ state }) => state === "ended")
      .map(({ work, records, expected_records }) => ({ work, records, expected_records })),
  ).toEqual(
    ["copy the catalog", "compare both catalogs"].map((work) => ({
      work,
      records: copied.json.rows,
      expected_records: copied.json.rows,
    })),
  );
  const again = await installation.ok("catalog", "copy", "--to", String(url));
  expect(again.stdout).toContain(`\nsha256 ${copied.json.sha256}\n`);
  expect(again.stdout).toContain("nothing to copy: both catalogs hold the same records");
  expect(again.stdout).toContain(
    `next: in the config of every host, set url = "${String(url).replace(/:[^@/]*@/, "@")}", with the password of the role, under [catalog]; `,
  );
  const wrong = String(url).replace(postgres.address.password, "wrong");
  const refused = await installation.run("catalog", "copy", "--to", wrong);
  expect(refused.stderr).toContain("cannot find out which database it is: the server refuses the password");
  expect(refused.stderr).toContain("correct user and password in --to, or the line in ~/.pgpass");
  for (const { stdout, stderr } of [dry, copied, again])
    expect(stdout + stderr).not.toContain(postgres.address.password);

  const secret = join(installation.directory, "catalog-url");
  await writeFile(secret, `${url}\n`, { mode: 0o600 });
  await installation.configure({ more: `[catalog]\nurl = { file = "${secret}" }` });
  const { json } = await installation.ok("list", "--json");
  expect(json.backups).toMatchObject([{ server: "main", database: source, status: "VERIFIED" }]);
  await installation.ok("verify");
  await installation.ok("backup");
  const restored = postgres.newName();
  await installation.ok(
    "restore",
    "latest",
    "-d",
    String(source),
    "--create",
    "--target",
    postgres.url(restored),
  );
});

test("back into a file, which the config then names; the daemon's file is refused while it runs", async () => {
  const back = join(installation.directory, "state", "back.db");
  const { json } = await installation.ok("catalog", "copy", "--to", back, "--json");
  expect(json.outcome).toBe("copied");
  await installation.configure({ more: `[catalog]\npath = '${back}'\n[http]\nlisten = "off"` });
  expect((await installation.ok("list", "--json")).json.backups).toHaveLength(2);
  const daemon = watched(installation.start("run"));
  try {
    await daemon.says("started");
    const refused = await installation.run(
      "catalog",
      "copy",
      "--to",
      join(installation.directory, "third.db"),
    );
    expect(refused).toMatchObject({ exitCode: 11, stdout: "" });
    expect(refused.stderr).toContain("daemon: held by run ");
  } finally {
    daemon.kill("SIGTERM");
  }
  await daemon.ended;
});

test("mistakes on the command line name the option, and never the password", async () => {
  const { password } = postgres.address;
  for (const [words, message, exitCode] of [
    [[], "--from and --to are both missing", 2],
    [["--to", `postgres://postgres:${password}@127.0.0.1`], "--to: not a URL of a PostgreSQL database", 2],
    [["--to", `mysql://u:${password}@h/d`], "--to: neither a path nor a URL", 2],
    [["--from", String(url).replace(/:\d+\//, ":1/"), "--to", "/tmp/pg321-never.db"], "unreachable: ", 13],
    [["--from", "/nowhere/catalog.db"], "there is no catalog in /nowhere/catalog.db", 2],
    [["--to", String(file), "--from", String(url)], "holds records already", 2],
    [
      ["--to", String(url).replace(/[^/]*$/, "nodb")],
      `hint: create it: CREATE DATABASE nodb OWNER postgres`,
      13,
    ],
    [["--to", join(String(file), "a.db")], "hint: correct --to\n", 13],
    [["--to", join(String(file), "a.db"), "--dry-run"], "hint: correct --to\n", 13],
  ] as const) {
    const { stderr, stdout, exitCode: code } = await installation.run("catalog", "copy", ...words);
    expect([code, stdout]).toEqual([exitCode, ""]);
    expect(stderr).toContain(message);
    expect(stderr).not.toContain(password);
  }
  const unknown = await installation.run("catalog", "move");
  expect([unknown.exitCode, unknown.stderr]).toEqual([2, expect.stringContaining('unknown action "move"')]);
});

test("a dry run names the right that the role of the target lacks, as the copy does", async () => {
  const [database, role] = [await postgres.createDatabase(), `poor_${crypto.randomUUID().slice(0, 8)}`];
  await using admin = disposable(connectTo(postgres.address, database));
  await admin.sql.unsafe(`create role ${role} login password 'secret'`);
  const to = `${postgres.url(database).replace(/\/\/[^@]*@/, `//${role}:secret@`)}?sslmode=disable`;
  const copy = (...words: string[]) => installation.run("catalog", "copy", "--to", to, ...words);
  const refused = [await copy("--dry-run"), await copy()].map(({ exitCode, stderr }) => ({
    exitCode,
    stderr,
  }));
  expect(refused[0]).toEqual(refused[1] as (typeof refused)[number]);
  expect(refused[0]).toMatchObject({
    exitCode: 13,
    stderr: expect.stringContaining(
      `hint: let the role of --to own the schema, in the database ${database}: CREATE SCHEMA pg321 AUTHORIZATION ${role}\n`,
    ),
  });
  await admin.sql.unsafe(`create schema pg321 authorization ${role}`);
  expect((await copy("--dry-run")).stdout).toContain("it would be created");
  expect((await copy()).stdout).toContain(
    `set url = "${to.replace(":secret@", "@")}", with the password of the role, under [catalog]`,
  );
  await admin.sql.unsafe(`drop owned by ${role}; drop role ${role}`);
});
