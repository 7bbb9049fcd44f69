import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadToml, MINIMAL } from "../../../test/fixtures/config-file.ts";
import { fleetHost, fleetOf } from "../../../test/fixtures/fleet-report.ts";
import { ManualClock } from "../../../test/lab/manual-clock.ts";
import { hostRecord } from "../../../test/suites/catalog/hosts.ts";
import { alertRecord, backupRecord, copyRecord, runRecord } from "../../../test/suites/catalog/records.ts";
import { PLAIN, width } from "../../base/text/table.ts";
import type { Catalog } from "../../catalog/catalog.ts";
import { boundTo } from "../../catalog/fleet/fenced-catalog.ts";
import { openCatalog } from "../../catalog/open.ts";
import type { BackupRecord } from "../../catalog/records.ts";
import type { AlertStatus } from "../report.ts";
import { type FleetSource, fleetReport } from "./fleet.ts";
import type { FleetHost } from "./report.ts";
import { fleetText } from "./text.ts";
import { fleetJson, fleetVerdict } from "./verdict.ts";

interface Fixture extends AsyncDisposable {
  catalog: Catalog;
  source: FleetSource;
}

/** Times are hours and minutes of the day on which the clock stands at noon. */
const at = (time: string) => `2026-11-23T${time}:00.000Z`;
const DAILY = { schedule: "backup", job: "backup", at: "2026-11-24T02:00:00.000Z", interval_ms: 86_400_000 };

async function fixture(): Promise<Fixture> {
  const directory = await mkdtemp(join(tmpdir(), "pg321-fleet-"));
  const clock = new ManualClock(new Date(at("12:00")));
  const config = await loadToml(
    `timezone = "UTC"\nstate_dir = "${directory}"\n${MINIMAL}[fleet]\nhost = "web1"\n`,
  );
  const catalog = await openCatalog(config.catalog, { clock });
  return {
    catalog,
    source: { catalog, config, clock, host: "web1", installation: "0a0a" },
    async [Symbol.asyncDispose]() {
      await catalog[Symbol.asyncDispose]();
      await rm(directory, { recursive: true });
    },
  };
}

async function insert(catalog: Catalog, backup: BackupRecord): Promise<void> {
  await catalog.insertBackup(backup);
  if (backup.status !== "FAILED") await catalog.putCopy(copyRecord(backup, { state: "CONFIRMED" }));
}

/** Three hosts: web1 is up, web2 silent, and the daemon of web3 was stopped. */
async function threeHosts({ catalog }: Fixture): Promise<void> {
  const servers = (name: string) => [{ name, at: `${name}:5432` }];
  const common = { started_at: at("00:00"), problems: [], next_runs: [DAILY] };
  const put = (host: string, change: Parameters<typeof hostRecord>[0]) =>
    catalog.hosts.put(hostRecord({ ...common, host, servers: servers(`db-${host}`), ...change }));
  await put("web1", { heartbeat_at: at("11:59") });
  await put("web2", { heartbeat_at: at("09:00") });
  await put("web3", { heartbeat_at: at("10:00"), stopped_at: at("10:00") });
  const made = async (host: string, database: string, change: Partial<BackupRecord> = {}) => {
    const backup = backupRecord({
      ...{ host, server: `db-${host}`, database, status: "VERIFIED" },
      ...{ started_at: at("02:00"), finished_at: at("02:01"), ...change },
    });
    await insert(catalog, backup);
  };
  await made("web1", "app");
  await made("web1", "shop", { started_at: "2026-11-20T02:00:00.000Z" });
  await made("web2", "app");
  await made("web2", "app", { started_at: at("08:00"), status: "FAILED", error: "no route" });
  await made("web3", "old", { status: "PARTIAL" });
  await catalog.overview.seeDatabases("db-web1", ["app", "shop", "new"], at("03:00"));
  const marks = [
    { rule: "copies", state: "held", since: at("03:00") },
    { rule: "off_site", state: "lost", since: at("04:00") },
  ];
  await catalog.ruleMarks.replace([{ server: "db-web2", database: "app", marks }]);
  const ended = { outcome: "OK", finished_at: at("02:05") } as const;
  await catalog.insertRun(runRecord({ host: "web1", started_at: at("02:00"), ...ended, schedule: "backup" }));
  await catalog.changeAlert("backup db-web2/app", () => ({
    alert: alertRecord({ server: "db-web2", level: "CRITICAL", message: "no route to db-web2" }),
    deliveries: [],
  }));
}

test("hosts have the state of their daemon, their databases with marks, and their last and next runs", async () => {
  await using here = await fixture();
  await threeHosts(here);
  const report = await fleetReport(here.source);
  expect(report.catalog).toEqual({
    at: expect.stringContaining("catalog.db"),
    is_shared: false,
    unreachable_since: null,
    known_at: null,
  });
  const none = { good: 0, partial: 0, failing: 0, stale: 0, never: 0, gone: 0 };
  expect(report.hosts).toMatchObject([
    {
      ...{ host: "web1", state: "up", heartbeat_age_ms: 60_000, version: "1.2.3" },
      databases: { ...none, good: 1, stale: 1, never: 1 },
      oldest_success_at: "2026-11-20T02:00:00.000Z",
      last_runs: [{ job: "backup", outcome: "OK", schedule: "backup" }],
      next_runs: [DAILY],
    },
    {
      ...{ host: "web2", state: "silent", heartbeat_age_ms: 3 * 3_600_000 },
      databases: { ...none, failing: 1 },
      marks: { held: 1, lost: 1, not_set_up: 0, not_demanded: 0 },
    },
    { host: "web3", state: "stopped", stopped_at: at("10:00"), databases: { ...none, partial: 1 } },
  ]);
  const shown = report.databases.map(({ server, database, host, state }) => [server, database, host, state]);
  expect(shown).toEqual([
    ["db-web1", "app", "web1", "good"],
    ["db-web1", "new", "web1", "never"],
    ["db-web1", "shop", "web1", "stale"],
    ["db-web2", "app", "web2", "failing"],
    ["db-web3", "old", "web3", "partial"],
  ]);
  expect(report.alerts).toMatchObject([{ level: "CRITICAL", server: "db-web2" }]);
});

test("the verdict names silent hosts first, and everything that waits for somebody", async () => {
  await using here = await fixture();
  await threeHosts(here);
  const verdict = fleetVerdict(await fleetReport(here.source));
  expect(verdict.level).toBe("bad");
  expect(verdict.sentence).toBe("Host web2 has been silent for 3h 00m, and 6 more problems.");
  expect(verdict.problems.map(({ text }) => text)).toEqual([
    "host web2 has been silent for 3h 00m",
    "database db-web1/shop has no recent good backup",
    "the last backup of database db-web2/app failed",
    "1 critical alert is open",
    "the daemon of host web3 is stopped",
    "the newest good backup of database db-web3/old lacks a copy",
    "database db-web2/app has lost marks of 3-2-1-1-0",
  ]);
});

test("a host alone is a fleet of one, even before its daemon ever ran", async () => {
  await using here = await fixture();
  const before = await fleetReport(here.source);
  expect(before.hosts).toMatchObject([{ host: "web1", state: "never", heartbeat_at: null, last_runs: [] }]);
  expect(fleetJson(before).verdict).toMatchObject({ level: "new" });
  expect(fleetText(before)).toContain("no database has been found yet");
  await here.catalog.hosts.put(hostRecord({ heartbeat_at: at("11:59"), problems: [], next_runs: [DAILY] }));
  await insert(here.catalog, backupRecord({ status: "VERIFIED", started_at: at("02:00") }));
  const after = await fleetReport(here.source);
  // Its backup is from before hosts were recorded, but its server is in the config of this host.
  expect(after.hosts).toMatchObject([{ host: "web1", state: "up", databases: { good: 1 } }]);
  expect(fleetVerdict(after)).toEqual({
    level: "good",
    sentence: "1 host is up; 1 database has a recent good backup.",
    problems: [],
  });
  await here.catalog.overview.seeDatabases("main", ["app", "new"], at("03:00"));
  expect(fleetVerdict(await fleetReport(here.source)).sentence).toBe(
    "1 host is up; 1 database has a recent good backup; 1 waits for its first backup.",
  );
  await here.catalog.overview.seeDatabases("main", ["app", "new", "newer"], at("03:01"));
  expect(fleetVerdict(await fleetReport(here.source))).toMatchObject({
    level: "good",
    sentence: "1 host is up; 1 database has a recent good backup; 2 wait for their first backup.",
  });
});

test("backups of a host that was forgotten are shown under its name, until another has its server", async () => {
  await using here = await fixture();
  await threeHosts(here);
  await here.catalog.hosts.forget("web3", at("12:00"));
  const left = await fleetReport(here.source);
  expect(left.hosts.at(-1)).toMatchObject({ host: "web3", state: "never", databases: { gone: 1 } });
  const web1 = await here.catalog.hosts.one("web1");
  const servers = [...(web1?.servers ?? []), { name: "db-web3", at: "db-web3:5432" }];
  await here.catalog.hosts.put(hostRecord({ ...web1, servers }));
  const taken = await fleetReport(here.source);
  expect(taken.hosts.map(({ host }) => host)).toEqual(["web1", "web2"]);
  expect(taken.databases.at(-1)).toMatchObject({ server: "db-web3", host: "web1", state: "partial" });
});

test("the tables fit into 80 columns, whatever the names", async () => {
  await using here = await fixture();
  await threeHosts(here);
  const long = `h${"x".repeat(62)}1`;
  await here.catalog.hosts.put(
    hostRecord({
      ...{ host: long, heartbeat_at: at("11:58"), next_runs: [DAILY] },
      servers: [{ name: "s".repeat(40), at: "db:5432" }],
      storages: [{ name: "disk-of-a-long-name", type: "local" }],
    }),
  );
  await here.catalog.overview.seeDatabases("s".repeat(40), ["d".repeat(63)], at("03:00"));
  const text = fleetText(await fleetReport(here.source), { ...PLAIN, columns: 80 });
  const tables = text.slice(text.indexOf("HOSTS"));
  for (const line of tables.split("\n")) expect([line, width(line) <= 80]).toEqual([line, true]);
  expect(tables).toMatch(/^web2 +silent for 3h 00m +1 failing/m);
  expect(tables).toMatch(/^web1 +backup +2026-11-23 02:00:00 +OK +2026-11-24 02:00:00$/m);
  expect(tables).toMatchInlineSnapshot(`
    "HOSTS
    HOST                        DAEMON               DATABASES
    web2                        silent for 3h 00m    1 failing
      oldest good: 10h 00m  version: 1.2.3  marks: 1 lost, 1 held
    web3                        stopped 2h 00m ago   1 partial
      oldest good: 10h 00m  version: 1.2.3
    hxxxxxxxxxxxx…xxxxxxxxxxx1  up, seen 2m 00s ago  1 never
      version: 1.2.3  note: the schedule was not checked for 300 s
    web1                        up, seen 1m 00s ago  1 stale, 1 never, 1 good
      oldest good: 3d 10h  version: 1.2.3

    LAST AND NEXT RUNS
    HOST                   JOB     LAST RUN             OUTCOME  NEXT RUN
    hxxxxxxxxx…xxxxxxxxx1  backup  -                    -        2026-11-24 02:00:00
    web1                   backup  2026-11-23 02:00:00  OK       2026-11-24 02:00:00
    web2                   backup  -                    -        2026-11-24 02:00:00
    web3                   backup  -                    -        2026-11-24 02:00:00

    DATABASES
    DATABASE             HOST                  STATE    NEWEST GOOD              AGE
    db-web1/shop         web1                  stale    2026-11-20 02:00:00   3d 10h
    db-web2/app          web2                  failing  2026-11-23 02:00:00  10h 00m
    db-web1/new          web1                  never    -                          -
    sssssssss…ddddddddd  hxxxxxxxxx…xxxxxxxx1  never    -                          -
    db-web3/old          web3                  partial  2026-11-23 02:00:00  10h 00m
    db-web1/app          web1                  good     2026-11-23 02:00:00  10h 00m"
  `);
});

test("while the catalog is unreachable, the hosts are shown as they were then", async () => {
  await using here = await fixture();
  await threeHosts(here);
  const outage = { unreachable_since: at("09:04"), known_at: at("09:03"), reason: "no answer", waiting: 3 };
  const status = () => outage;
  const catalog = new Proxy(here.catalog, {
    get: (target, name) => (name === "spool" ? { status } : boundTo(target, name)),
  });
  const report = await fleetReport({ ...here.source, catalog });
  expect(report.hosts.map(({ host, state }) => `${host} ${state}`)).toEqual([
    ...["web1 up", "web2 up", "web3 stopped"],
  ]);
  expect(fleetVerdict(report).problems).toContainEqual({
    level: "warning",
    text: "the catalog is unreachable since 2026-11-23 09:04:00 UTC: other hosts are shown as of 2026-11-23 09:03:00 UTC",
  });
  expect(report.hosts.map(({ as_of }) => as_of)).toEqual([null, at("09:03"), at("09:03")]);
  const text = fleetText(report);
  expect(text).toMatch(/^web1 +up, seen /m);
  expect(text).toMatch(/^web2 +up as of 2026-11-23 09:03:00 /m);
  expect(text).toMatch(/^web3 +stopped as of 2026-11-23 09:03:00 /m);
});

test("the verdict counts every open alert of the table, and says which ones it counts beside the others", () => {
  const [alert] = fleetOf().alerts;
  const open = (change: Partial<AlertStatus>): AlertStatus[] =>
    alert ? [{ ...alert, level: "CRITICAL", acknowledged_at: null, has_cause: false, ...change }] : [];
  const hosts = [fleetHost(), fleetHost({ host: "web2", state: "silent" })];
  const countsIn = (...alerts: AlertStatus[]) =>
    fleetVerdict(fleetOf({ hosts, databases: [], alerts }))
      .problems.map(({ text }) => text)
      .filter((text) => text.includes("alert"));
  const [silent, other, up] = [open({ key: "host web2" }), open({}), open({ key: "host web1" })];
  // The silent host is a problem already.
  expect(countsIn(...silent)).toEqual([]);
  expect(countsIn(...up)).toEqual(["1 critical alert is open"]);
  expect(countsIn(...silent, ...other, ...other)).toEqual([
    "2 critical alerts are open (and 1 about a host)",
  ]);
  const known = [
    ...open({ acknowledged_at: at("11:00") }),
    ...open({ acknowledged_at: at("11:00"), has_cause: true }),
  ];
  expect(countsIn(...silent, ...other, ...known)).toEqual([
    "1 critical alert is open (and 1 about a host, 1 with the same cause, 1 acknowledged)",
  ]);
});

test("a run whose time has passed since the last heartbeat is due", () => {
  const [first] = fleetHost().next_runs;
  const next_runs = first ? [{ ...first, at: at("11:59") }] : [];
  const text = (change: Partial<FleetHost>) =>
    fleetText(fleetOf({ now: at("12:00"), hosts: [fleetHost({ next_runs, ...change })] }));
  expect(text({})).toMatch(/^web1 +backup .* due$/m);
  expect(text({ state: "silent" })).toMatch(/^web1 +backup .* 2026-11-23 11:59:00$/m);
});

test("a database without a good backup is a problem once one was tried, or should have been made", async () => {
  await using here = await fixture();
  await here.catalog.hosts.put(hostRecord({ heartbeat_at: at("11:59"), problems: [], next_runs: [DAILY] }));
  await insert(here.catalog, backupRecord({ status: "VERIFIED", started_at: at("02:00") }));
  const seen = (time: string) => here.catalog.overview.seeDatabases("main", ["app", "new"], time);
  await seen("2026-11-22T12:00:00.000Z");
  const verdict = async () => fleetVerdict(await fleetReport(here.source)).sentence;
  expect(await verdict()).toBe(
    "1 host is up; 1 database has a recent good backup; 1 waits for its first backup.",
  );
  await insert(
    here.catalog,
    backupRecord({ database: "new", status: "FAILED", started_at: at("03:00"), error: "no" }),
  );
  expect(await verdict()).toBe("Database main/new has no good backup.");
  await here.catalog.overview.seeDatabases("main", ["app", "new", "old"], "2026-11-20T12:00:00.000Z");
  expect(await verdict()).toBe("Databases main/new and main/old have no good backup.");
});

test("with hundreds of hosts the text has those with a problem, and counts the others", () => {
  const hosts = Array.from({ length: 300 }, (_, index) => fleetHost({ host: `up${index}` }));
  hosts[250] = fleetHost({ host: "silent250", state: "silent" });
  const failed = fleetHost().last_runs.map((run) => ({ ...run, outcome: "FAILED" as const }));
  hosts[260] = fleetHost({ host: "failed260", last_runs: failed });
  const text = fleetText(fleetOf({ hosts }));
  expect(text).toMatch(/^silent250 +silent for/m);
  expect(text).toContain("and 200 more hosts: pg321 status --fleet --json");
  expect(text).toMatch(/^failed260 +backup .* FAILED/m);
  expect(text).toContain("and 299 more jobs: pg321 status --fleet --json");
});
