import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Installation, localStorage } from "../../lab/installation.ts";
import { watched } from "../../lab/machine/running.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

/** `[[server]] group = "consistent"`: the databases of a run are dumped from snapshots of one moment. */

setDefaultTimeout(120_000);
const postgres = usePostgres();
const databases: string[] = [];
let installation: Installation;

beforeAll(async () => {
  for (let i = 0; i < 3; i++) {
    databases.push(await postgres.createDatabase());
    await postgres.connect(databases[i])`create table entry as select generate_series(1, 5) as i`;
  }
  installation = await Installation.make({
    postgres: postgres.address,
    databases,
    storages: (directory) => [localStorage("disk", directory)],
    server: 'group = "consistent"',
  });
});
afterAll(() => installation[Symbol.asyncDispose]());

async function factsOfAll() {
  const { backups } = (await installation.ok("list", "--json")).json;
  const shown = new Map<string, { rows: number; moment: Record<string, unknown>; status: string }>();
  for (const database of databases) {
    const { id } = backups.find((backup: { database: string }) => backup.database === database);
    const { facts, status } = (await installation.ok("show", id, "--json")).json;
    shown.set(database, { rows: facts.tables[0]?.rows, moment: facts.moment, status });
  }
  return shown;
}

/** A backup that waits for a lock in this database. */
async function waitingBackup(database: string) {
  const running = watched(installation.start("backup"));
  const admin = postgres.connect();
  await running.until("the first dump waits for the lock", async () => {
    const rows = await admin`select from pg_stat_activity where datname = ${database}
      and wait_event_type = 'Lock'`;
    return rows.length > 0;
  });
  return running;
}

test("a row that is written when the first dump waits is in none of the later ones", async () => {
  const [first = "", , last = ""] = databases.toSorted();
  const [blocker, writer] = [postgres.connect(first), postgres.connect(last)];
  const session = await blocker.reserve();
  await session.unsafe("begin; lock table entry in access exclusive mode").simple();
  const running = await waitingBackup(first);
  await writer`insert into entry values (6)`;
  await session.unsafe("rollback");
  session.release();
  expect((await running.ended).exitCode).toBe(0);
  const shown = await factsOfAll();
  expect([...shown.values()].map(({ rows }) => rows)).toEqual([5, 5, 5]);
  const groups = new Set([...shown.values()].map(({ moment }) => moment["group"]));
  expect(groups).toEqual(new Set([expect.any(String)]));
  for (const { moment } of shown.values())
    expect(moment).toMatchObject({
      ...{ timeline: 1, is_standby: false, lsn: expect.stringMatching(/^[0-9A-F]+\/[0-9A-F]+$/) },
      taken_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
    });
});

test("a dump that is repeated has a later moment, which is said", async () => {
  const [first = "", ...others] = databases.toSorted();
  const sql = postgres.connect(first);
  await sql`create table dropped (i int)`;
  const session = await sql.reserve();
  await session.unsafe("begin; drop table dropped").simple();
  const running = watched(installation.start("backup", "--json"));
  const admin = postgres.connect();
  await running.until("the dump waits for the lock", async () => {
    const rows = await admin`select from pg_stat_activity where datname = ${first}
      and wait_event_type = 'Lock'`;
    return rows.length > 0;
  });
  await session.unsafe("commit");
  session.release();
  const { exitCode, stdout, stderr } = await running.ended;
  expect(exitCode, stderr).toBe(0);
  expect(stderr).toContain("the dump is repeated");
  const warningsOf = (name: string) =>
    JSON.parse(stdout).backups.find(({ database }: { database: string }) => database === name).warnings;
  expect(warningsOf(first)).toEqual([
    "not of one moment with the other databases of the server: the dump was repeated",
  ]);
  for (const other of others) expect(warningsOf(other)).toEqual([]);
});

test("the hooks of all databases run before the snapshots; one that fails takes only its database out", async () => {
  const [first = "", second = "", last = ""] = databases.toSorted();
  const note = (words: string) => `{ command = 'echo "$PG321_DATABASE ${words}" >> ${noted}', shell = true }`;
  const noted = join(installation.directory, "noted");
  const hook = (sql: string) =>
    `pre_backup = [{ name = "quiesce", sql = "${sql}" }, ${note("pre")}]\npost_backup = [${note("post")}]`;
  await installation.configure({
    server: `group = "consistent"\n${hook("delete from entry; insert into entry values (1), (2)")}`,
  });
  await installation.ok("backup");
  const shown = await factsOfAll();
  expect([...shown.values()].map(({ rows }) => rows)).toEqual([2, 2, 2]);
  expect(new Set([...shown.values()].map(({ moment }) => moment["group"])).size).toBe(1);
  const lines = (await readFile(noted, "utf8")).trim().split("\n");
  expect(lines.slice(0, 3).toSorted()).toEqual([first, second, last].map((name) => `${name} pre`));
  expect(lines.slice(3).toSorted()).toEqual([first, second, last].map((name) => `${name} post`));

  const broken = `[[database]]\nname = "${second}"\npre_backup = [{ name = "quiesce", sql = "select 1/0" }]\n`;
  await installation.configure({ more: broken });
  const { exitCode, json } = await installation.run("backup", "--json");
  expect(exitCode).toBe(3);
  const results = new Map(
    json.backups.map((backup: { database: string; status: string; warnings: string[] }) => [
      backup.database,
      [backup.status, backup.warnings],
    ]),
  );
  expect(results.get(second)).toEqual(["FAILED", []]);
  for (const name of [first, last]) expect(results.get(name)).toEqual(["VERIFIED", []]);
  await installation.configure({ more: broken.replace('1/0"', '1/0", on_error = "continue"') });
  await installation.ok("backup");
  const continued = await factsOfAll();
  expect(new Set([...continued.values()].map(({ moment }) => moment["group"])).size).toBe(1);
});

test("a run that is stopped between the hooks and a dump undoes what the hooks did", async () => {
  const [first = ""] = databases.toSorted();
  const noted = join(installation.directory, "undone");
  const undo = `{ command = 'echo "$PG321_DATABASE $PG321_OUTCOME" >> ${noted}', shell = true }`;
  await installation.configure({
    server: `group = "consistent"\npre_backup = [{ sql = "select 1" }]\non_failure = [${undo}]`,
    more: "",
  });
  const session = await postgres.connect(first).reserve();
  await session.unsafe("begin; lock table entry in access exclusive mode").simple();
  const running = await waitingBackup(first);
  running.kill("SIGTERM");
  await running.ended;
  await session.unsafe("rollback");
  session.release();
  const undone = (await readFile(noted, "utf8")).trim().split("\n").toSorted();
  expect(undone).toEqual(databases.toSorted().map((name) => `${name} INTERRUPTED`));
  const { backups } = (await installation.ok("list", "--json")).json;
  expect(backups.some(({ status }: { status: string }) => status === "RUNNING")).toBe(false);
});

test("every dump records its moment, also without a group and without counts", async () => {
  await installation.configure({ server: "", more: "[dump]\ncounts = false" });
  await installation.ok("backup");
  const shown = await factsOfAll();
  for (const { moment } of shown.values())
    expect(moment).toMatchObject({ timeline: 1, lsn: expect.any(String) });
  expect([...shown.values()].some(({ moment }) => "group" in moment)).toBe(false);
  const { backups } = (await installation.ok("list", "--json")).json;
  expect((await installation.ok("show", backups[0].id)).stdout).toMatch(
    /^snapshot {6} +\d{4}-.*Z by the server's clock, WAL [0-9A-F/]+, timeline 1$/m,
  );
});

test("too few connections for all snapshots cost the common moment, which is said, and no backup", async () => {
  const role = `few_${crypto.randomUUID().slice(0, 8)}`;
  const admin = postgres.connect();
  await admin.unsafe(`create role ${role} login password 'few' connection limit 2`);
  for (const database of databases) {
    await postgres.connect(database).unsafe(`grant select on entry to ${role}`);
  }
  await installation.configure({
    postgres: { ...postgres.address, user: role, password: "few" },
    ...{ server: 'group = "consistent"', more: "" },
  });
  const { json } = await installation.ok("backup", "--json");
  const dumps = json.backups.filter(({ database }: { database: string }) => databases.includes(database));
  expect(dumps.map(({ status }: { status: string }) => status)).toEqual(Array(3).fill("VERIFIED"));
  expect(JSON.stringify(dumps)).toContain("not of one moment with the other databases of the server");
});
