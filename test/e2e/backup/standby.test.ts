import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Sql } from "postgres";
import { systemClock } from "../../../src/base/clock.ts";
import { silentLog } from "../../../src/base/log.ts";
import type { ServerConfig } from "../../../src/config/config.ts";
import { loadConfig, processSource } from "../../../src/config/load.ts";
import type { JobContext } from "../../../src/jobs/context.ts";
import { openContext } from "../../../src/jobs/context.ts";
import { silentProgress } from "../../../src/jobs/progress.ts";
import { PausedReplay, resumeLeft } from "../../../src/jobs/standby/paused-replay.ts";
import { Installation, localStorage } from "../../lab/installation.ts";
import { eventually, watched } from "../../lab/machine/running.ts";
import { type FaultProxy, startFaultProxy } from "../../lab/servers/fault-proxy.ts";
import { connectTo, type LabPostgres, PRIMARY_SETTINGS, startPostgres } from "../../lab/servers/postgres.ts";

/** Dumps from a standby, whose replay of WAL stands in their way, with a real primary and standby. */

setDefaultTimeout(120_000);
/** Of the large table, which has about 110 MiB. */
const MIDDLE_BYTES = 30 * 1024 * 1024;
let primary: LabPostgres;
let standby: LabPostgres;
let proxy: FaultProxy;
let installation: Installation;
let onPrimary: Sql;
let onStandby: Sql;

beforeAll(async () => {
  primary = await startPostgres({ settings: PRIMARY_SETTINGS });
  onPrimary = connectTo(primary.address, "postgres");
  await onPrimary.unsafe("create database app");
  await onPrimary.end();
  onPrimary = connectTo(primary.address, "app");
  await onPrimary.unsafe("create table entry as select i from generate_series(1, 1000) i");
  // A conflict ends a query at once.
  standby = await startPostgres({
    standbyOf: primary.address,
    settings: ["max_standby_streaming_delay = 0"],
  });
  onStandby = connectTo(standby.address, "app");
  proxy = await startFaultProxy(standby.address.port);
  installation = await Installation.make({
    postgres: { ...standby.address, port: proxy.port },
    databases: ["app"],
    storages: (directory) => [localStorage("disk", directory)],
  });
});
afterAll(async () => {
  await onPrimary?.end();
  await onStandby?.end();
  await installation?.[Symbol.asyncDispose]();
  await proxy?.stop();
  await standby?.[Symbol.asyncDispose]();
  await primary?.[Symbol.asyncDispose]();
});

const replay = async () =>
  (await onStandby`select pg_get_wal_replay_pause_state() as state`)[0]?.["state"] as string;
const pauseFiles = () => readdir(join(installation.directory, "state", "paused-replay")).catch(() => []);
const caughtUp = async () => {
  const [{ lsn } = { lsn: "" }] = await onPrimary<
    { lsn: string }[]
  >`select pg_current_wal_insert_lsn()::text as lsn`;
  await eventually(async () => {
    const [row] = await onStandby`select pg_last_wal_replay_lsn() >= ${lsn}::pg_lsn as done`;
    return row?.["done"] === true;
  });
};

test("a backup of a standby says so, with its lag, and can be restored", async () => {
  await caughtUp();
  const [{ backup_id: id, standby_lag_ms }] = (await installation.ok("backup", "--json")).json.backups;
  expect(standby_lag_ms).toBeGreaterThanOrEqual(0);
  const { facts } = (await installation.ok("show", id, "--json")).json;
  expect(facts).toMatchObject({
    tables: [{ name: "entry", rows: 1000 }],
    moment: { is_standby: true, timeline: 1 },
  });
  expect((await installation.ok("show", id)).stdout).toMatch(/^snapshot .* on a standby, .* behind$/m);
  const { findings } = (await installation.run("doctor", "--json")).json;
  expect(findings).toContainEqual(
    expect.objectContaining({
      verdict: "ok",
      message: expect.stringMatching(/^a standby, .* behind its primary/),
    }),
  );
  const target = `postgres://postgres:${primary.address.password}@127.0.0.1:${primary.address.port}/again`;
  await installation.ok("restore", id, "--target", target, "--create");
});

/** Starts a backup and stops it in the middle of the large table: pg_dump has locks on all tables. */
async function startToTheMiddle(...words: string[]): Promise<ReturnType<typeof watched>> {
  proxy.stallAnswersAfter(MIDDLE_BYTES);
  const running = watched(installation.start("backup", ...words));
  await running.until("pg_dump reads the large table", async () => {
    const rows = await onStandby`select from pg_stat_activity
      where datname = 'app' and query like 'COPY%large%' and wait_event = 'ClientWrite'`;
    return rows.length > 0;
  });
  return running;
}

/** Lets the primary drop a table on which pg_dump has a lock. The standby ends the dump as soon as it reads on. */
async function dropEntry(): Promise<void> {
  await onPrimary.unsafe("drop table entry");
  const [{ lsn } = { lsn: "" }] = await onPrimary<
    { lsn: string }[]
  >`select pg_current_wal_insert_lsn()::text as lsn`;
  await eventually(async () => {
    const [row] = await onStandby`select pg_last_wal_receive_lsn() >= ${lsn}::pg_lsn as done`;
    return row?.["done"] === true;
  });
}

test("a conflict with recovery: the dump is repeated with the replay paused, which goes on afterwards", async () => {
  await onPrimary.unsafe(
    `create table large as select i, repeat(md5(i::text), 60) as text from generate_series(1, 60000) i`,
  );
  await caughtUp();
  await installation.configure({
    server: "standby = { pause_replay = true }",
    more: '[compression]\nalgorithm = "gzip"\nlevel = 9\n[dump]\ncounts = false',
  });
  const running = await startToTheMiddle("--json");
  await dropEntry();
  proxy.pass();
  const ended = await running.ended;
  expect(ended.stderr).toContain("the standby ended the dump to replay WAL: the dump is repeated");
  expect(ended.stderr).toContain("the replay of a standby is paused for a dump");
  expect(ended.exitCode).toBe(0);
  expect(ended.stderr).toContain("the replay of a standby goes on");
  expect(await replay()).toBe("not paused");
  expect(await pauseFiles()).toEqual([]);
});

test("kill -9 during a pause: the next command resumes the replay, but not a pause of somebody else", async () => {
  await onPrimary.unsafe("create table entry as select i from generate_series(1, 10) i");
  await caughtUp();
  const running = await startToTheMiddle();
  await dropEntry();
  // Enough for the end of the first dump and the beginning of the second.
  proxy.stallAnswersAfter(2 * MIDDLE_BYTES);
  await running.until("replay is paused", async () => (await replay()) === "paused");
  running.kill("SIGKILL");
  await running.ended;
  proxy.pass();
  expect(await replay()).toBe("paused");
  expect((await installation.ok("resume-replay")).stdout).toContain("resumed the replay of 1 standby");
  expect(await replay()).toBe("not paused");
  expect(await pauseFiles()).toEqual([]);
  await onStandby`select pg_wal_replay_pause()`;
  await eventually(async () => (await replay()) === "paused");
  await installation.ok("resume-replay");
  await installation.ok("backup");
  expect(await replay()).toBe("paused");
});

test("a standby that lies too far behind raises an alert, which a later backup resolves", async () => {
  await onPrimary.unsafe("create table late as select 1 as i");
  await eventually(async () => {
    const [row] = await onStandby`select pg_last_wal_receive_lsn() <> pg_last_wal_replay_lsn() as behind`;
    return row?.["behind"] === true;
  });
  await installation.configure({ server: 'standby = { max_lag = "1s" }', more: "" });
  await eventually(async () => {
    const [row] =
      await onStandby`select clock_timestamp() - pg_last_xact_replay_timestamp() > interval '2 s' as old`;
    return row?.["old"] === true;
  });
  const open = async () =>
    (await installation.ok("alerts", "--json")).json.alerts.filter(
      ({ key, resolved_at }: Record<string, unknown>) => key === "standby lag main" && resolved_at === null,
    );
  await installation.ok("backup");
  expect(await open()).toMatchObject([{ level: "WARNING", metadata: { lag_ms: expect.any(Number) } }]);
  await onStandby`select pg_wal_replay_resume()`;
  await caughtUp();
  await installation.ok("backup");
  expect(await open()).toEqual([]);
});

/** A context of a job with the config of the installation, in this process. */
async function replayContext(): Promise<JobContext & { server: ServerConfig }> {
  const config = await loadConfig(installation.configFile, processSource());
  const signal = AbortSignal.any([]);
  const tools = { clock: systemClock, log: silentLog, signal, progress: silentProgress };
  const context = await openContext({ config, ...tools });
  return Object.assign(context, { server: config.server[0] as ServerConfig });
}

async function alertsOf(key: string): Promise<{ level: string; resolved_at: string | null }[]> {
  const { alerts } = (await installation.ok("alerts", "--json")).json;
  return alerts.filter((alert: { key: string }) => alert.key === key);
}

test("of two pauses that end at the same moment, one resumes the replay", async () => {
  await caughtUp();
  await using context = await replayContext();
  const { server } = context;
  for (let i = 0; i < 5; i++) {
    const pauses = [await PausedReplay.pause(context, server), await PausedReplay.pause(context, server)];
    expect(await replay()).toBe("paused");
    await pauses[0]?.[Symbol.asyncDispose]();
    expect(await replay()).toBe("paused");
    const again = await PausedReplay.pause(context, server);
    await Promise.all([pauses[1], again].map((pause) => pause?.[Symbol.asyncDispose]()));
    expect([await replay(), await pauseFiles()]).toEqual(["not paused", []]);
  }
});

test("a pause whose end could not reach the standby is ended by the same process later, and by any other", async () => {
  await using context = await replayContext();
  const { server } = context;
  const { port } = server;
  expect(await alertsOf("replay main")).toEqual([]);
  for (const later of ["the same process", "another"]) {
    const pause = await PausedReplay.pause(context, server);
    server.port = 1;
    await pause?.[Symbol.asyncDispose]();
    server.port = port;
    const open = (await alertsOf("replay main")).filter(({ resolved_at }) => resolved_at === null);
    expect(open).toMatchObject([{ level: "CRITICAL" }]);
    expect([later, await replay(), (await pauseFiles()).length]).toEqual([later, "paused", 1]);
    if (later === "another") await installation.ok("resume-replay");
    else
      expect(await resumeLeft({ ...context, alerts: context })).toEqual({ resumed: 1, failed: 0, held: 0 });
    expect([later, await replay(), await pauseFiles()]).toEqual([later, "not paused", []]);
    // The command opens no catalog: the next backup, or the service, resolves the alert.
    if (later === "another")
      expect(await resumeLeft({ ...context, alerts: context })).toMatchObject({ failed: 0 });
    expect((await alertsOf("replay main")).filter(({ resolved_at }) => resolved_at === null)).toEqual([]);
  }
});

test("files about pauses that cannot be read do not count as none", async () => {
  await using context = await replayContext();
  const directory = join(installation.directory, "state", "paused-replay");
  await rm(directory, { recursive: true, force: true });
  await writeFile(directory, "not a directory");
  try {
    expect(await resumeLeft({ ...context, alerts: context })).toEqual({ resumed: 0, failed: 1, held: 0 });
    const { exitCode, stderr } = await installation.run("resume-replay");
    expect(exitCode).toBe(10);
    expect(stderr).toContain("the files about paused standbys could not be read");
  } finally {
    await rm(directory);
  }
});

test("a file about the pause of one standby that cannot be read does not stop the end of another's pause", async () => {
  await using context = await replayContext();
  const { server } = context;
  const { port } = server;
  const pause = await PausedReplay.pause(context, server);
  server.port = 1;
  await pause?.[Symbol.asyncDispose]();
  server.port = port;
  const directory = join(installation.directory, "state", "paused-replay");
  const unreadable = join(directory, `other.${crypto.randomUUID()}.json`);
  await mkdir(unreadable);
  try {
    const { exitCode, stderr } = await installation.run("resume-replay");
    expect(exitCode).toBe(10);
    expect(stderr).toContain(unreadable);
    expect([await replay(), await pauseFiles()]).toEqual(["not paused", [basename(unreadable)]]);
    // Of the same standby it may be about a dump that still runs.
    const again = await PausedReplay.pause(context, server);
    const own = join(directory, `${server.name}.${crypto.randomUUID()}.json`);
    await mkdir(own);
    await again?.[Symbol.asyncDispose]();
    expect(await replay()).toBe("paused");
    await rm(own, { recursive: true });
    expect(await resumeLeft({ ...context, alerts: context })).toEqual({ resumed: 1, failed: 1, held: 0 });
    expect(await replay()).toBe("not paused");
  } finally {
    await rm(unreadable, { recursive: true });
  }
  expect(await resumeLeft({ ...context, alerts: context })).toEqual({ resumed: 0, failed: 0, held: 0 });
});

test("the replay is resumed although the catalog cannot be opened", async () => {
  await using context = await replayContext();
  const { server } = context;
  const pause = await PausedReplay.pause(context, server);
  server.port = 1;
  await pause?.[Symbol.asyncDispose]();
  const catalog = join(installation.directory, "state", "catalog.db");
  await rename(catalog, `${catalog}.away`);
  await writeFile(catalog, "");
  await installation.ok("resume-replay", "--quiet");
  await rename(`${catalog}.away`, catalog);
  expect([await replay(), await pauseFiles()]).toEqual(["not paused", []]);
});

test("a standby that is promoted in the middle of a dump does not harm it", async () => {
  const running = await startToTheMiddle("--json");
  await onStandby`select pg_promote()`;
  proxy.pass();
  const { exitCode, stdout } = await running.ended;
  expect(exitCode).toBe(0);
  const [{ backup_id: id }] = JSON.parse(stdout).backups;
  const { facts } = (await installation.ok("show", id, "--json")).json;
  expect(facts.moment).toMatchObject({ is_standby: true, timeline: 1 });
  const { password, port } = primary.address;
  const target = `postgres://postgres:${password}@127.0.0.1:${port}/promoted`;
  await installation.ok("restore", id, "--target", target, "--create");
  const restored = connectTo(primary.address, "promoted");
  expect([...(await restored`select count(*)::int as rows from large`)]).toEqual([{ rows: 60_000 }]);
  await restored.end();
  await installation.ok("backup");
});
