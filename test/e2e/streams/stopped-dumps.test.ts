import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Sql } from "postgres";
import { binDir } from "../../lab/bin-dir.ts";
import { Installation, localStorage } from "../../lab/installation.ts";
import { leftovers, withCatalog } from "../../lab/leftovers.ts";
import type { Running } from "../../lab/machine/running.ts";
import { descendants, eventually, startedWith, watched } from "../../lab/machine/running.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

/** Backups with `dump.jobs` above 1 that are stopped in the middle, or have not all they need. */

setDefaultTimeout(120_000);
const postgres = usePostgres();
let installation: Installation;
let database: string;
let admin: Sql;

/** Each of the large tables has a stream to itself, and more rows than the buffers before a slow storage can hold. */
const LARGE = ["first", "second"];
const SMALL = ["third", "fourth"];
const ROWS_OF_SMALL = 100;

beforeAll(async () => {
  admin = postgres.connect();
  database = await postgres.createDatabase();
  const sql = postgres.connect(database);
  await sql`create extension pgcrypto`;
  for (const [name, rows] of [
    ...LARGE.map((name) => [name, 40_000] as const),
    ...SMALL.map((name) => [name, ROWS_OF_SMALL] as const),
  ])
    await sql.unsafe(`create table ${name} (i int, bytes bytea); alter table ${name} alter bytes set storage external;
      insert into ${name} select i, gen_random_bytes(1024) from generate_series(1, ${rows}) i`);
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [database],
    storages: (directory) => [localStorage("disk", directory)],
  });
});
afterAll(() => installation[Symbol.asyncDispose]());

/** A storage so slow that a dump lasts until it is stopped. */
async function configure(dump: string, server = ""): Promise<void> {
  await installation.configure({
    storages: (directory) => [localStorage("disk", directory, { rate_limit: "4MiB/s" })],
    more: `[compression]\nalgorithm = "none"\n[dump]\njobs = 2\n${dump}`,
    server,
  });
}

/** The pg_dump that runs for a table. */
function dumpOf(pid: number, table: string): number | undefined {
  return descendants(pid).find((child) => {
    const { cmdline } = startedWith(child);
    return /^[^\n]*\bpg_dump\n/.test(cmdline) && cmdline.includes(`"${table}"`);
  });
}

/** A backup while both large tables are dumped. */
async function startToTheMiddle(): Promise<Running> {
  const running = watched(installation.start("backup", "--json"));
  await running.until("rows of both tables are sent", async () => {
    const [{ count = 0 } = {}] = await admin<{ count: number }[]>`
      select count(distinct query)::int from pg_stat_activity where datname = ${database} and state = 'active' and query ~ '^COPY .*bytes'`;
    return count === LARGE.length && LARGE.every((table) => dumpOf(running.pid, table) !== undefined);
  });
  return running;
}

/** Nothing is left: no process, session, lease, temporary file, open record or part of an object. */
async function expectNothingLeft(processes: Iterable<number>): Promise<void> {
  for (const pid of processes) expect(startedWith(pid).cmdline).toBe("");
  await eventually(
    async () =>
      (
        await admin`select from pg_stat_activity where datname = ${database} and application_name like 'pg321%'`
      ).length === 0,
  );
  expect(
    await leftovers(installation, [{ name: "disk", directory: join(installation.directory, "disk") }]),
  ).toEqual([]);
}

test("a stream whose pg_dump sends nothing any more ends the dump, and is named with its table", async () => {
  await configure('stall_timeout = "1s"');
  const running = await startToTheMiddle();
  const stopped = dumpOf(running.pid, "second") as number;
  const processes = descendants(running.pid);
  process.kill(stopped, "SIGSTOP");
  const { exitCode, json } = await running.ended;
  expect(exitCode).toBe(10);
  expect(json.backups[0].error).toMatch(
    /^server "main": dump of database ".*" failed in stream data-\d \(public\.second\): pg_dump sent no byte for 1 s$/,
  );
  await expectNothingLeft(processes);
});

test.each([
  ["SIGINT", 130, "interrupted by hand"],
  ["SIGTERM", 143, "ended by SIGTERM"],
] as const)("%s ends all streams", async (signal, code, error) => {
  await configure("");
  const running = await startToTheMiddle();
  const processes = descendants(running.pid);
  running.kill(signal);
  expect((await running.ended).exitCode).toBe(code);
  const [backup] = await withCatalog(installation, (catalog) => catalog.backups({ limit: 1 }));
  expect(backup).toMatchObject({ status: "FAILED", error });
  await expectNothingLeft(processes);
});

test("the time limit of a backup ends all streams", async () => {
  await configure('run_timeout = "5s"');
  const running = watched(installation.start("backup", "--json"));
  const processes = new Set<number>();
  await running
    .until("its end", () => {
      for (const pid of descendants(running.pid)) processes.add(pid);
      return false;
    })
    .catch(() => {});
  const { exitCode, json } = await running.ended;
  expect(exitCode).toBe(10);
  expect(json.backups[0].error).toBe(`backup of main/${database} took longer than dump.run_timeout (5 s)`);
  await expectNothingLeft(processes);
});

test("a stream whose session is terminated ends the others, and is named with its table", async () => {
  await configure("retries = 0");
  const running = await startToTheMiddle();
  const processes = descendants(running.pid);
  await admin`select pg_terminate_backend(pid) from pg_stat_activity
    where datname = ${database} and state = 'active' and query ~ '^COPY public\\.first '`;
  const { exitCode, json } = await running.ended;
  expect(exitCode).toBe(10);
  expect(json.backups[0].error).toMatch(
    /failed in stream data-\d \(public\.first\): .*(terminating|closed the) connection/,
  );
  await expectNothingLeft(processes);
});

test("every pg_dump has the priority of the config, and a role with few connections gets one stream", async () => {
  const log = join(installation.directory, "priorities");
  const bin = await binDir(installation.directory, {
    pg_dump: `echo "$(nice) $(ionice -p $$)" >> ${log}; exec REAL "$@"`,
  });
  const more = '[dump]\njobs = 2\nnice = 7\nio_class = "idle"\ncounts = false';
  const server = `bin_dir = "${bin}"`;
  const storages = (directory: string) => [localStorage("disk", directory)];
  await installation.configure({ more, server, storages });
  const { json } = await installation.ok("backup", "--json");
  const priorities = (await readFile(log, "utf8")).trim().split("\n");
  // The look at the table of contents, the schema, and three streams of rows.
  expect(priorities).toEqual(Array(5).fill("7 idle"));
  const id = json.backups[0].backup_id;
  expect((await installation.ok("show", id)).stdout).toContain("3 archives of rows and one of the schema");

  const role = `limited_${database}`;
  await postgres
    .connect(database)
    .unsafe(`create role ${role} login password 'x' connection limit 2; grant pg_read_all_data to ${role}`)
    .simple();
  const address = { ...postgres.address, user: role, password: "x" };
  await installation.configure({ postgres: address, server: "" });
  const limited = await installation.ok("backup", "--json");
  expect(limited.stderr).toContain("dumped in one stream, not in dump.jobs streams");
  const shown = await installation.ok("show", limited.json.backups[0].backup_id, "--json");
  expect(shown.json.streams).toEqual({
    jobs: 2,
    data_archives: null,
    at_once: 1,
    why_one: expect.stringContaining("too many connections for role"),
  });
  await postgres.connect(database).unsafe(`drop owned by ${role}; drop role ${role}`).simple();
});
