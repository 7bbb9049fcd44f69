import { afterAll, expect, test } from "bun:test";
import { chmodSync, chownSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pgDumpFor } from "../../src/postgres/binaries.ts";
import { endpointOfUrl } from "../../src/postgres/connection.ts";
import { COUNTING, holdCount, isDumped, isHeld } from "../lab/data/held-count.ts";
import { eventually } from "../lab/machine/running.ts";
import { ManualClock } from "../lab/manual-clock.ts";
import { connectTo, startPostgres } from "../lab/servers/postgres.ts";
import { usePostgres } from "../lab/servers/use-postgres.ts";
import type { Counted } from "./counting.ts";
import { dumpAndCount, factsOf } from "./counting.ts";
import { contentsOfDump, restoreDump } from "./dumping.ts";
import { useTempDir } from "./temp-dir.ts";

const lab = usePostgres();
const temp = useTempDir();
const endpoint = (database: string) => endpointOfUrl(lab.url(database));
const stopping: (() => Promise<void>)[] = [];
afterAll(async () => {
  for (const stop of stopping) await stop();
});

function tableOf({ facts }: Counted, name: string) {
  return facts?.tables.find((table) => table.name === name);
}

const rowsOf = async (dump: Buffer, tables: string[]) => {
  const restored = await lab.createDatabase();
  await restoreDump(dump, endpoint(restored), temp.path);
  const { tables: found } = await factsOf(endpoint(restored));
  return tables.map((name) => found.find((table) => table.name === name)?.rows);
};

test("the rest is not counted when count_grace is over, and nothing of it stays on the server", async () => {
  const database = await lab.createDatabase();
  const sql = lab.connect(database);
  await holdCount(sql);
  const clock = new ManualClock();
  const counting = dumpAndCount(endpoint(database), temp.path, { clock });
  await eventually(async () => (await isHeld(sql)) && (await isDumped(sql)));
  await eventually(() => clock.sleeping > 0);
  await clock.advance(60_000);
  const counted = await counting;
  const why = "dump.count_grace (60 s) was over";
  expect(counted.facts?.tables.map((table) => [table.rows, table.why])).toEqual(Array(4).fill([null, why]));
  expect(counted.facts?.numbers).toMatchObject({ tables: 3, extensions: 1 });
  await eventually(
    async () => (await sql.unsafe(`select from pg_stat_activity where ${COUNTING}`)).length === 0,
  );
  expect((await contentsOfDump(counted.dump)).entries.length).toBeGreaterThan(5);
});

test("a table that is truncated or replaced after the dump is not counted wrongly", async () => {
  const database = await lab.createDatabase();
  const sql = lab.connect(database);
  await holdCount(sql);
  const counting = dumpAndCount(endpoint(database), temp.path);
  await eventually(async () => (await isHeld(sql)) && (await isDumped(sql)));
  await sql`truncate truncated`;
  await sql`alter table rewritten rename to old`;
  await sql`create table rewritten as select 1 as i`;
  await sql`insert into later values (0)`;
  await sql`set application_name = 'go'`;
  const counted = await counting;
  expect(tableOf(counted, "a held")).toMatchObject({ rows: 1, method: "exact" });
  expect(tableOf(counted, "later")).toMatchObject({ rows: 100, method: "exact" });
  for (const name of ["truncated", "rewritten"])
    expect(tableOf(counted, name)).toMatchObject({
      method: "not_counted",
      why: "it was replaced, truncated or rewritten after the dump",
    });
});

test("a session that is ended while it counts costs only the counts", async () => {
  const database = await lab.createDatabase();
  const sql = lab.connect(database);
  await holdCount(sql);
  const counting = dumpAndCount(endpoint(database), temp.path);
  await eventually(() => isHeld(sql));
  await sql.unsafe(`select pg_terminate_backend(pid) from pg_stat_activity where ${COUNTING}`);
  const counted = await counting;
  expect(counted.facts?.tables.map(({ method }) => method)).toEqual(Array(4).fill("not_counted"));
  expect(tableOf(counted, "later")?.why).toContain("the session that counts was lost: ");
  expect((await contentsOfDump(counted.dump)).entries.map(({ tag }) => tag)).toContain("later");
});

test("a server that is killed after the dump costs only the counts", async () => {
  const server = await startPostgres();
  stopping.push(() => server[Symbol.asyncDispose]());
  const { user, password, port } = server.address;
  const sql = connectTo(server.address, "postgres");
  await holdCount(sql);
  const target = endpointOfUrl(`postgres://${user}:${password}@127.0.0.1:${port}/postgres`);
  const counting = dumpAndCount(target, temp.path);
  await eventually(async () => (await isHeld(sql)) && (await isDumped(sql)));
  await server.kill();
  const counted = await counting;
  expect(counted.facts?.tables.map(({ method }) => method)).toEqual(Array(4).fill("not_counted"));
  expect((await contentsOfDump(counted.dump)).entries.map(({ tag }) => tag)).toContain("later");
  await sql.end({ timeout: 1 }).catch(() => {});
});

test("a table for whose exclusive lock another session waits is not counted, and not waited for", async () => {
  const database = await lab.createDatabase();
  const sql = lab.connect(database);
  await sql`create table first as select 1 as i`;
  await sql`create table second as select i, repeat(md5(i::text), 30) from generate_series(1, 2000) i`;
  const [blocker, waiter] = [lab.connect(database), lab.connect(database)];
  const holding = await blocker.reserve();
  await holding.unsafe("begin; lock table second in access exclusive mode").simple();
  // The dump takes longer than the count waits for a lock: it is not read before both tables are done with.
  const counting = () => sql.unsafe(`select from pg_stat_activity where ${COUNTING}`);
  const onBlock = () => eventually(async () => (await counting()).length === 0);
  const dumping = dumpAndCount(endpoint(database), temp.path, { onBlock });
  const waitingFor = async (table: string) =>
    (await sql`select from pg_locks where relation = ${table}::regclass and not granted`).length > 0;
  // pg_dump has locked the first table and waits for the second one; then a user waits for pg_dump.
  await eventually(() => waitingFor("second"));
  const altering = waiter`alter table first add column j int`.execute();
  await eventually(() => waitingFor("first"));
  await holding.unsafe("rollback");
  holding.release();
  const counted = await dumping;
  await altering;
  expect(tableOf(counted, "first")).toMatchObject({
    method: "not_counted",
    why: "another session holds an exclusive lock on it, or waits for one",
  });
  expect(tableOf(counted, "second")).toMatchObject({ rows: 2000, method: "exact" });
  expect(await rowsOf(counted.dump, ["first", "second"])).toEqual([1, 2000]);
});

test("if the session is gone before pg_dump reads its snapshot, the dump is made without", async () => {
  const database = await lab.createDatabase();
  const sql = lab.connect(database);
  await sql`create table t as select generate_series(1, 9) as i`;
  const { path, ...binary } = await pgDumpFor(15, undefined);
  const script = join(temp.path, "pg_dump");
  writeFileSync(
    script,
    `#!/bin/sh
    ${path.replace(/pg_dump$/, "psql")} -qXAtc "select pg_terminate_backend(pid, 5000) from pg_stat_activity where ${COUNTING}" >&2
    exec ${path} "$@"`,
  );
  chmodSync(script, 0o755);
  const counted = await dumpAndCount(endpoint(database), temp.path, {
    options: { binary: { ...binary, path: script } },
  });
  expect(counted.facts).toMatchObject({ tables: [], numbers: null });
  expect(counted.facts?.problem).toMatch(/^no snapshot was shared with pg_dump: .*snapshot/);
  expect(await rowsOf(counted.dump, ["t"])).toEqual([9]);
});

test("if the role may have only one session, pg_dump has it", async () => {
  const database = await lab.createDatabase();
  const sql = lab.connect(database);
  await sql`create table t as select generate_series(1, 9) as i`;
  const role = `single_${database}`;
  await sql.unsafe(
    `create role ${role} login password 'x' connection limit 1; grant pg_read_all_data to ${role}`,
  );
  try {
    const url = new URL(lab.url(database));
    [url.username, url.password] = [role, "x"];
    const counted = await dumpAndCount(endpointOfUrl(url.href), temp.path);
    expect(counted.facts?.problem).toMatch(
      /^no snapshot was shared with pg_dump: .*too many connections for role/,
    );
    expect(await rowsOf(counted.dump, ["t"])).toEqual([9]);
  } finally {
    await sql.unsafe(`drop role ${role}`);
  }
});

test("no timeout of the role or the database ends the session", async () => {
  const database = await lab.createDatabase();
  const sql = lab.connect(database);
  await holdCount(sql);
  for (const setting of ["statement_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout"])
    await sql.unsafe(`alter database ${database} set ${setting} = '20ms'`);
  await sql.unsafe(`alter database ${database} set default_transaction_isolation = 'serializable'`);
  const counting = dumpAndCount(endpoint(database), temp.path);
  const hasLasted = () =>
    sql.unsafe(`select from pg_stat_activity where ${COUNTING} and query like '%a held%'
      and clock_timestamp() - query_start > interval '200 ms'`);
  await eventually(async () => (await hasLasted()).length > 0);
  await sql`set application_name = 'go'`;
  const counted = await counting;
  expect(counted.facts?.tables.map(({ method }) => method)).toEqual(Array(4).fill("exact"));
});

test("a table larger than count_max_bytes is estimated from a sample, with its margin", async () => {
  const database = await lab.createDatabase();
  const sql = lab.connect(database);
  await sql`create table large (i int, note text) with (fillfactor = 10)`;
  await sql`insert into large select i, repeat('x', i % 300) from generate_series(1, 80000) i`;
  await sql`delete from large where i between 20000 and 30000`;
  await sql`create table small as select generate_series(1, 9) as i`;
  const counted = await dumpAndCount(endpoint(database), temp.path, {
    settings: { count_max_bytes: 1024 ** 2 },
  });
  expect(tableOf(counted, "small")).toMatchObject({ rows: 9, method: "exact" });
  const large = tableOf(counted, "large");
  expect(large).toMatchObject({
    method: "sampled",
    why: expect.stringContaining("dump.count_max_bytes (1.0 MiB)"),
  });
  const [rows = 0, margin = 0] = [large?.rows ?? 0, large?.margin];
  expect(margin).toBeGreaterThan(0);
  expect(margin).toBeLessThan(15_000);
  expect(Math.abs(rows - 69_999)).toBeLessThanOrEqual(margin);
});

test("two thousand tables are counted, each with its own lock", async () => {
  const database = await lab.createDatabase();
  const sql = lab.connect(database);
  await sql`create function make() returns void language plpgsql as $$ begin
    for i in 1..2000 loop execute format('create table t%s as select generate_series(1, %s) as i', i, i % 5);
    end loop; end $$`;
  for (let part = 0; part < 1; part++) await sql`select make()`;
  const { facts } = await dumpAndCount(endpoint(database), temp.path);
  expect(facts?.tables.length).toBe(2000);
  expect(facts?.tables.every(({ name, rows }) => rows === Number(name.slice(1)) % 5)).toBe(true);
});

test("on a standby the snapshot is shared too, and unlogged tables are not counted", async () => {
  const server = await startPostgres({ settings: ["wal_level = replica"] });
  stopping.push(() => server[Symbol.asyncDispose]());
  const { user, password, port, data_dir } = server.address;
  const primary = connectTo(server.address, "postgres");
  await primary`create table t as select generate_series(1, 9) as i`;
  await primary`create unlogged table u as select generate_series(1, 9) as i`;
  await primary`create table s (id bigint generated always as identity)`;
  await primary.end({ timeout: 1 });
  await server.stop();
  const signal = join(data_dir, "standby.signal");
  writeFileSync(signal, "");
  const { uid, gid } = statSync(data_dir);
  chownSync(signal, uid, gid);
  await server.start();
  const target = endpointOfUrl(`postgres://${user}:${password}@127.0.0.1:${port}/postgres`);
  const { facts } = await dumpAndCount(target, temp.path);
  expect(facts).toMatchObject({
    problem: null,
    sequences: [{ name: "s_id_seq", before: { last_value: "1", is_called: false } }],
    numbers: { tables: 3 },
  });
  expect(facts?.tables.map(({ name, rows }) => [name, rows])).toEqual([
    ["s", 0],
    ["t", 9],
  ]);
});

/** A stand-in for pg_dump that runs `script`, in which REAL is the real one. */
async function standIn(name: string, script: string) {
  const { path, ...binary } = await pgDumpFor(15, undefined);
  const file = join(temp.path, name);
  writeFileSync(file, `#!/bin/bash\n${script.replaceAll("REAL", path)}\n`);
  chmodSync(file, 0o755);
  return { ...binary, path: file };
}

test.each([
  'connection to server at "127.0.0.1", port 1 failed: FATAL:  too many connections for role "app"',
  "query failed: ERROR:  invalid snapshot identifier: \"00000003-00000001-1\"\npg_dump: detail: Query was: SET TRANSACTION SNAPSHOT 'x'",
])("a dump that has begun is never made again in the same stream: %s", async (message) => {
  const database = await lab.createDatabase();
  const starts = join(temp.path, `starts-${database}`);
  const binary = await standIn(
    "cut",
    `echo >> ${starts}; head -c 1048576 /dev/zero; cat >&2 <<'END'\npg_dump: error: ${message}\nEND\nexit 1`,
  );
  const dumped = dumpAndCount(endpoint(database), temp.path, { options: { binary } });
  await expect(dumped).rejects.toThrow(/cut ended with exit code 1: .*(too many|invalid snapshot)/);
  expect(readFileSync(starts, "utf8")).toBe("\n");
});

test("names that read like an error of the snapshot do not make a dump succeed whose session was ended", async () => {
  const database = await lab.createDatabase();
  const sql = lab.connect(database);
  await sql.unsafe(`create table "too many connections for the requested snapshot" as
    select i, repeat(md5(i::text), 30) from generate_series(1, 60000) i`);
  let blocks = 0;
  const onBlock = async () => {
    if (++blocks > 1) return;
    await sql`select pg_terminate_backend(pid) from pg_stat_activity
      where application_name = 'pg321' and datname = current_database()`;
  };
  const dumped = dumpAndCount(endpoint(database), temp.path, { onBlock });
  await expect(dumped).rejects.toThrow(/pg_dump ended with exit code 1: .*too many connections/);
});

test("the snapshot is released after pg_dump and the counts, though nobody reads the rest of the dump", async () => {
  const database = await lab.createDatabase();
  const sql = lab.connect(database);
  await sql`create table t as select generate_series(1, 10000) as i`;
  const counting = () => sql.unsafe(`select from pg_stat_activity where ${COUNTING}`);
  let blocks = 0;
  const onBlock = async () => {
    if (++blocks === 1) await eventually(async () => (await counting()).length === 0);
  };
  const counted = await dumpAndCount(endpoint(database), temp.path, { onBlock });
  expect(tableOf(counted, "t")).toMatchObject({ rows: 10_000, method: "exact" });
});

test("count_grace begins when pg_dump has ended, though nobody reads the rest of the dump", async () => {
  const database = await lab.createDatabase();
  const sql = lab.connect(database);
  await holdCount(sql);
  const clock = new ManualClock();
  let blocks = 0;
  const onBlock = async () => {
    if (++blocks > 1) return;
    await eventually(async () => (await isHeld(sql)) && (await isDumped(sql)) && clock.sleeping > 0);
    await clock.advance(60_000);
    await eventually(
      async () => (await sql.unsafe(`select from pg_stat_activity where ${COUNTING}`)).length === 0,
    );
  };
  const counted = await dumpAndCount(endpoint(database), temp.path, { clock, onBlock });
  expect(tableOf(counted, "later")?.why).toBe("dump.count_grace (60 s) was over");
});
