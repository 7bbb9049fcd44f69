import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DAY_MS, MINUTE_MS } from "../../../src/base/limits.ts";
import { Secret } from "../../../src/base/secret.ts";
import type { Catalog } from "../../../src/catalog/catalog.ts";
import { ownView } from "../../../src/catalog/fleet/host-view.ts";
import { openCatalog, spoolOf } from "../../../src/catalog/open.ts";
import { loadConfig } from "../../../src/config/load.ts";
import { healthAnswer } from "../../../src/http/health.ts";
import { metricsSource, renderMetrics } from "../../../src/http/metrics/metrics.ts";
import { statusReport } from "../../../src/status/status.ts";
import { verdictOf } from "../../../src/status/verdict.ts";
import { Installation, localStorage, runProgram } from "../../lab/installation.ts";
import { keysIn } from "../../lab/leftovers.ts";
import { daemonInProcess } from "../../lab/machine/daemon-in-process.ts";
import { JumpingClock } from "../../lab/machine/jumping-clock.ts";
import { eventually, watched } from "../../lab/machine/running.ts";
import { type CommitRelay, startCommitRelay } from "../../lab/servers/commit-relay.ts";
import { startFaultProxy } from "../../lab/servers/fault-proxy.ts";
import { connectTo, disposable } from "../../lab/servers/postgres.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

/** A host whose catalog is in another server's database, behind a relay that can cut it off. */

const postgres = usePostgres();
let relay: CommitRelay;
let source: string;
beforeAll(async () => {
  relay = await startCommitRelay(postgres.address.port);
  source = await postgres.createDatabase();
  await using admin = disposable(connectTo(postgres.address, source));
  await admin.sql`create table t as select n, md5(n::text) as text from generate_series(1, 1000) as n`;
});
afterAll(() => relay[Symbol.asyncDispose]());

interface Site {
  installation: Installation;
  /** The database of the catalog. */
  database: string;
  /** The catalog without the relay. */
  direct: () => Promise<Catalog>;
}

async function site(schedule: string, sourcePort = postgres.address.port): Promise<Site> {
  const database = await postgres.createDatabase();
  const direct = postgres.url(database);
  const url = `${direct.replace(`:${postgres.address.port}/`, `:${relay.port}/`)}?sslmode=disable`;
  const installation = await Installation.make({
    postgres: { ...postgres.address, port: sourcePort },
    databases: [source],
    storages: (directory) => [localStorage("disk", directory)],
  });
  const off = ["cleanup", "verify", "repair"]
    .filter((job) => !schedule.includes(`${job} = `))
    .map((job) => `${job} = "off"`);
  const socket = join(installation.directory, "http.sock");
  await installation.configure({
    more: [
      ...["[catalog]", `url = "${url}"`, "[http]", `listen = "unix:${socket}"`],
      ...["[schedule]", schedule, ...off],
    ].join("\n"),
  });
  return {
    installation,
    database,
    direct: () => openCatalog({ type: "postgres", url: new Secret(direct) }, { clock: new JumpingClock() }),
  };
}

/** The config of another host with the same catalog, which it reaches, and the same storage. */
async function otherHost(installation: Installation): Promise<string> {
  const otherConfig = join(installation.directory, "other.toml");
  const text = await readFile(installation.configFile, "utf8");
  const moved = text
    .replace(`:${relay.port}/`, `:${postgres.address.port}/`)
    .replace('/state"', '/other-state"')
    .replace('name = "main"', 'name = "elsewhere"');
  await writeFile(otherConfig, `${moved}\n[fleet]\nhost = "other"`, { mode: 0o600 });
  return otherConfig;
}

test("an hour without the catalog and ten backups in it: the schedule goes on, and nothing is lost", async () => {
  const place = await site('backup = "*/6 * * * *"\ncleanup = "0 * * * *"');
  await using _installation = place.installation;
  const clock = new JumpingClock();
  // Half-way between two due times: each jump passes exactly one.
  clock.jump(9 * MINUTE_MS - (clock.now().getTime() % (6 * MINUTE_MS)));
  await using host = await daemonInProcess(place.installation, clock);
  const { daemon, catalog } = host;
  const health = async (): Promise<{ status: string; reasons?: string[] }> =>
    JSON.parse(await (await healthAnswer(daemon, clock)).text());
  const running = (job: string) => daemon.running().filter((run) => run.job === job);
  const ended = async () => (await catalog.runs({ job: "backup", outcome: "OK" })).length;
  const next = async (count: number) => {
    clock.jump(6 * MINUTE_MS);
    await eventually(async () => (await ended()) === count && running("backup").length === 0);
  };
  await next(1);
  expect(await health()).toEqual({ status: "ok" });
  // The run that is under way goes on.
  relay.loseCommit("unanswered", { refuses: true });
  for (let count = 2; count <= 11; count++) await next(count);
  expect(await health()).toEqual({
    status: "degraded",
    reasons: [expect.stringMatching(/^the catalog is unreachable since .*: \d+ records wait$/)],
  });
  // Due once in the hour.
  expect(running("cleanup")).toMatchObject([{ state: "queued" }]);
  const report = await statusReport(daemon.context(), daemon);
  expect(verdictOf(report).problems.map(({ text }) => text)).toContainEqual(
    expect.stringMatching(/^the catalog is unreachable since .*: \d+ records wait$/),
  );
  expect(report.alerts.map(({ key }) => key)).toContain("catalog");
  const metrics = await renderMetrics(report, await metricsSource(daemon.context()));
  expect(metrics).toContain("pg321_catalog_unreachable 1\n");
  expect(metrics).toMatch(/^pg321_catalog_waiting_records [1-9]\d*$/m);
  await using other = await place.direct();
  expect((await other.runs({ job: "backup", outcome: "OK" })).length).toBe(1);
  relay.pass();
  clock.jump(5_000);
  await eventually(async () => (await health()).status === "ok");
  clock.jump(MINUTE_MS / 2);
  await eventually(async () => (await catalog.alerts({ open: true, key: "catalog" })).length === 0);
  const [alert] = await other.alerts({ key: "catalog" });
  expect(alert).toMatchObject({ level: "WARNING", count: 1, resolved_at: expect.any(String) });
  await eventually(async () => (await other.runs({ job: "cleanup", outcome: "OK" })).length === 1);
  const runs = (await other.runs({ job: "backup" })).reverse();
  expect(runs.map(({ outcome }) => outcome)).toEqual(Array(11).fill("OK"));
  expect(runs.map(({ started_at }) => started_at).toSorted()).toEqual(
    runs.map(({ started_at }) => started_at),
  );
  const backups = await other.backups({});
  expect(backups.map(({ status }) => status)).toEqual(Array(11).fill("VERIFIED"));
  for (const { id } of backups) {
    const [copy] = await other.copies(id);
    expect(copy?.state).toBe("CONFIRMED");
    expect(existsSync(join(place.installation.directory, "disk", String(copy?.object_key)))).toBe(true);
  }
  // Each is the predecessor of the next one, as if nothing had happened.
  expect(backups.slice(0, -1).map(({ previous_id }) => previous_id)).toEqual(
    backups.slice(1).map(({ id }) => id),
  );
  expect((await other.overview.copyTotals(clock.now()))[0]?.copies).toBe(11);
});

test("a host that is killed in an outage starts without its catalog, and delivers everything later", async () => {
  await using toSource = await startFaultProxy(postgres.address.port);
  const place = await site('backup = "0 * * * *"', toSource.port);
  const { installation } = place;
  await using _installation = installation;
  const disk = { name: "disk", directory: join(installation.directory, "disk") };
  await installation.backUp();
  // The schedule is known since yesterday, so a daemon that starts now has missed a run.
  {
    const config = await loadConfig(installation.configFile, { env: {} });
    const clock = new JumpingClock();
    await using catalog = await openCatalog(config.catalog, { clock, spool: spoolOf(config) });
    const yesterday = new Date(clock.now().getTime() - DAY_MS).toISOString();
    await ownView(catalog, config).overview.seeSchedule("backup", `0 * * * * ${config.timezone}`, yesterday);
  }
  relay.cut();
  toSource.stallAnswersAfter(20_000);
  const first = watched(installation.start("run"));
  await first.until(
    "a dump stands still",
    async () => toSource.isStalled() && (await keysIn(disk)).some((key) => key.endsWith(".tmp")),
  );
  first.kill("SIGKILL");
  await first.ended;
  toSource.pass();

  const second = watched(installation.start("run"));
  await second.says("a run has ended");
  const unix = join(installation.directory, "http.sock");
  const health = await fetch("http://localhost/health", { unix });
  expect([health.status, await health.json()]).toMatchObject([200, { status: "degraded" }]);
  const status = await installation.ok("status");
  expect(status.stdout).toContain("he catalog is unreachable since ");
  const fleet = await installation.ok("status", "--fleet");
  expect(fleet.stdout).toStartWith("The catalog is unreachable since ");
  expect(fleet.stdout).toContain("\nHOSTS\n");
  // A person may back up and restore as well, but not clean up.
  const byHand = await installation.backUp();
  await installation.ok("restore", byHand, "--create", "--target", postgres.url(postgres.newName()));
  const cleanup = await installation.run("cleanup");
  expect([cleanup.exitCode, cleanup.stderr]).toEqual([
    13,
    expect.stringContaining("cleanup waits for the catalog"),
  ]);
  // Another host with the same storage reaches the catalog: it sees objects without a record, and may adopt them.
  const keys = await keysIn(disk);
  const otherConfig = await otherHost(installation);
  const cleaned = await runProgram(["cleanup", "--adopt", "--json"], { PG321_CONFIG: otherConfig });
  expect([cleaned.stderr, cleaned.json?.adopted]).toEqual([expect.any(String), 2]);
  expect(await keysIn(disk)).toEqual(keys);
  second.kill("SIGKILL");
  await second.ended;

  relay.pass();
  // The next command delivers; the remains of the killed run are removed by then.
  await installation.backUp();
  await using other = await place.direct();
  const runs = (await other.runs({ job: "backup" })).map(({ schedule, outcome }) => [schedule, outcome]);
  expect(runs.reverse()).toEqual([
    [null, "OK"],
    ["backup", "INTERRUPTED"],
    ["backup", "OK"],
    [null, "OK"],
    [null, "OK"],
  ]);
  const backups = await other.backups({});
  expect(backups.map(({ status: one }) => one).toSorted()).toEqual([
    "INTERRUPTED",
    ...Array(4).fill("VERIFIED"),
  ]);
  const confirmed = backups
    .filter(({ status: one }) => one === "VERIFIED")
    .map(({ object_key }) => object_key);
  expect((await keysIn(disk)).filter((key) => !key.endsWith(".json"))).toEqual(confirmed.toSorted());
});

test("what a fail-over of the catalog has lost: no object is removed, and the host records its backup again", async () => {
  const place = await site('backup = "0 * * * *"');
  const { installation } = place;
  await using _installation = installation;
  const disk = { name: "disk", directory: join(installation.directory, "disk") };
  const id = await installation.backUp();
  const keys = await keysIn(disk);
  const other = await otherHost(installation);
  await using catalog = await place.direct();
  const backup = await catalog.backup(id);
  const copies = await catalog.copies(id);
  // As on a standby that did not receive them.
  const sql = postgres.connect(place.database);
  await sql`delete from pg321.copies`;
  await sql`delete from pg321.backups`;
  const cleaned = await runProgram(["cleanup", "--json"], { PG321_CONFIG: other });
  expect(cleaned.json?.orphans).toMatchObject([{ storage: "disk", objects: 2 }]);
  expect(await keysIn(disk)).toEqual(keys);
  await installation.ok("cleanup");
  expect(await keysIn(disk)).toEqual(keys);
  expect([await catalog.backup(id), await catalog.copies(id)]).toEqual([backup, copies]);
});
