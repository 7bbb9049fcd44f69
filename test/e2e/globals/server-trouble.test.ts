import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { Installation, localStorage } from "../../lab/installation.ts";
import { withCatalog } from "../../lab/leftovers.ts";
import { watched } from "../../lab/machine/running.ts";
import { connectTo, type LabPostgres, startPostgres } from "../../lab/servers/postgres.ts";

/** Restores of a whole server that are cut off, or meet a target that is no bare server; and the record of the whole. */

setDefaultTimeout(120_000);
const DATABASES = ["first", "last", "middle"];
let source: LabPostgres;
let target: LabPostgres;
let installation: Installation;

async function on(server: LabPostgres, database: string, statements: string) {
  const sql = connectTo(server.address, database);
  try {
    return await sql.unsafe(statements).simple();
  } finally {
    await sql.end();
  }
}

beforeAll(async () => {
  [source, target] = await Promise.all([startPostgres(), startPostgres()]);
  await on(source, "postgres", "create role app login connection limit 7; create role other");
  for (const database of DATABASES) {
    await on(source, "postgres", `create database ${database} owner app`);
    await on(source, database, "create table t as select 1 as i; alter table t owner to app");
  }
  // A restore waits here as long as the target's setting says.
  await on(
    source,
    "last",
    `create function nap() returns int language plpgsql as $$
       begin perform pg_sleep(coalesce(current_setting('nap.seconds', true), '0')::float); return 1; end $$;
     create materialized view slow as select nap()`,
  );
  installation = await Installation.make({
    postgres: source.address,
    databases: DATABASES,
    storages: (directory) => [localStorage("disk", directory)],
    globals: true,
  });
  await installation.ok("backup");
});
afterAll(async () => {
  await installation?.[Symbol.asyncDispose]();
  await Promise.all([source, target].map((server) => server?.[Symbol.asyncDispose]()));
});

function words(server: LabPostgres, ...more: string[]): string[] {
  const { user, password, port } = server.address;
  const url = `postgres://${user}:${password}@127.0.0.1:${port}/postgres`;
  return ["restore", "--server", "main", "--target", url, ...more];
}

/** The records of whole servers, newest first. */
const runs = () => withCatalog(installation, (catalog) => catalog.runs({ job: "restore-server" }));

test("a standby is refused, also by the dry run", async () => {
  await using standby = await startPostgres({ settings: ["wal_level = replica"] });
  await standby.stop();
  writeFileSync(`${standby.address.data_dir}/standby.signal`, "");
  await standby.start();
  for (const more of [["--dry-run"], []]) {
    const ended = await installation.run(...words(standby, ...more));
    expect(ended.exitCode).toBe(10);
    expect(ended.stderr).toContain("it is a standby, which is read-only; nothing was changed");
    expect(ended.stderr).toContain("hint: restore into its primary");
  }
});

test("Ctrl-C between databases leaves a record, and --resume restores the others; roles that exist stay", async () => {
  await on(target, "postgres", "create role app nologin connection limit 3 noinherit");
  await on(target, "postgres", `alter role postgres set "nap.seconds" = '600'`);
  const running = watched(installation.start(...words(target)));
  await running.until("the second database is being restored", async () => {
    const [row] = await on(
      target,
      "postgres",
      "select count(*)::int as n from pg_stat_activity where wait_event = 'PgSleep'",
    );
    return row?.["n"] === 1;
  });
  running.kill("SIGINT");
  expect((await running.ended).exitCode).toBe(130);
  const [cut] = await runs();
  expect(cut).toMatchObject({
    outcome: "FAILED",
    finished_at: expect.any(String),
    statistics: {
      ...{ server: "main", restored: 1, failed: 0, unfinished: 2, missing: 0, resume: false },
      databases: [{ database: "first", outcome: "restored" }],
      globals: { backup_id: expect.any(String), roles: 1, not_made: 0 },
    },
  });
  const words3 = words(target, "--resume", "--json");
  await on(target, "postgres", `alter role postgres reset "nap.seconds"`);
  const { json } = await installation.ok(...words3);
  const outcomes = json.databases.map(
    ({ database, outcome }: Record<string, string>) => `${database} ${outcome}`,
  );
  expect(outcomes).toEqual(["first skipped", "last restored", "middle restored"]);
  const [whole] = await runs();
  expect(whole).toMatchObject({
    ...{ id: json.run_id, outcome: "OK", error: null },
    statistics: { restored: 2, skipped: 1, unfinished: 0, resume: true },
  });
  expect(JSON.stringify(whole?.statistics)).not.toContain("CREATE ROLE");
  const [app] = await on(
    target,
    "postgres",
    "select rolcanlogin, rolinherit, rolconnlimit from pg_roles where rolname = 'app'",
  );
  expect({ ...app }).toEqual({ rolcanlogin: false, rolinherit: false, rolconnlimit: 3 });
  const left = await on(target, "postgres", "select datname from pg_database where datname like 'pg321%'");
  expect([...left]).toEqual([]);

  const { jobs } = (await installation.run("status", "--json")).json;
  expect(jobs.find(({ job }: { job: string }) => job === "restore-server").last_run).toMatchObject({
    ...{ id: json.run_id, outcome: "OK" },
  });
  expect((await installation.run("status")).stdout).toContain("restore-server");
  const { alerts } = (await installation.ok("alerts", "--json")).json;
  expect(alerts.map(({ message }: { message: string }) => message)).toContain(
    "restore of the whole server main ended as OK: 2 databases restored, 1 there before",
  );
});

test("a restore that is refused is recorded as failed, and one with a foreign database as partial", async () => {
  await on(target, "postgres", "drop database middle");
  await on(target, "postgres", "create database middle");
  await on(target, "middle", "create table mine ()");
  expect((await installation.run(...words(target))).exitCode).toBe(10);
  const [refused] = await runs();
  expect(refused).toMatchObject({
    outcome: "FAILED",
    error: expect.stringContaining("already exists and is not empty"),
    statistics: null,
  });
  expect((await installation.run(...words(target, "--resume"))).exitCode).toBe(3);
  const [partial] = await runs();
  expect(partial).toMatchObject({
    ...{ outcome: "PARTIAL", error: expect.stringContaining('"middle"') },
    statistics: { restored: 0, skipped: 2, failed: 1, unfinished: 0 },
  });
  const before = (await runs()).length;
  await installation.run(...words(target, "--resume", "--dry-run"));
  expect(await runs()).toHaveLength(before);
});
