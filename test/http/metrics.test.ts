import { heapStats } from "bun:jsc";
import { describe, expect, test } from "bun:test";
import { setImmediate } from "node:timers/promises";
import { DATABASE_SERIES_MAX } from "../../src/base/limits.ts";
import { createLog, silentLog } from "../../src/base/log.ts";
import type { RunTotal } from "../../src/catalog/overview.ts";
import { renderFleetMetrics } from "../../src/http/metrics/fleet.ts";
import { METRICS } from "../../src/http/metrics/list.ts";
import { METRICS_CONTENT_TYPE, metricsSource, renderMetrics } from "../../src/http/metrics/metrics.ts";
import { openContext } from "../../src/jobs/context.ts";
import { silentProgress } from "../../src/jobs/progress.ts";
import type { StatusReport } from "../../src/status/report.ts";
import { statusReport } from "../../src/status/status.ts";
import { fleetOf } from "../fixtures/fleet-report.ts";
import { ODD_NAMES } from "../fixtures/odd-names.ts";
import * as made from "../fixtures/status-report.ts";
import { World } from "../lab/data/made-up-world.ts";
import { endpointLab } from "../lab/endpoint.ts";
import { promtool } from "../lab/machine/promtool.ts";
import { type Scrape, scrapeOf, valueIn } from "../lab/scrape.ts";

const RUN_TOTALS: RunTotal[] = [
  { job: "backup", outcome: "OK", runs: 41 },
  { job: "backup", outcome: "FAILED", runs: 2 },
];
const SOURCE = { runTotals: RUN_TOTALS, backupStorages: ["local", "r2"], log: silentLog };
const EMPTY: StatusReport = { ...made.freshReport(), databases: [], storages: [], schedules: [], jobs: [] };

async function scrape(report: StatusReport, source: Partial<typeof SOURCE> = {}): Promise<Scrape> {
  return scrapeOf(await renderMetrics(report, { ...SOURCE, ...source }));
}

function namesIn({ series }: Scrape): string[] {
  return [...new Set(series.map(({ name }) => name))].sort();
}

describe("metrics", () => {
  test.each([
    ["a new installation", made.freshReport()],
    ["one where everything happens", made.fullReport()],
    ["one with odd names", made.oddNames()],
    ["one without anything", EMPTY],
    ["one without a daemon", { ...made.fullReport(), daemon: null }],
    ["one with too many databases", made.manyDatabases(3000)],
  ])("of %s pass promtool without warnings", async (_, report) => {
    const input = await renderMetrics(report, SOURCE);
    expect(await promtool(["check", "metrics"], { input })).toEqual({ exitCode: 0, output: "" });
  });

  test("are exactly those of the list, with its types, labels and help", async () => {
    const found = await scrape(made.fullReport());
    expect(namesIn(found)).toEqual(Object.keys(METRICS).sort());
    for (const [name, { type, help, labels }] of Object.entries(METRICS)) {
      expect(found.types[name]).toBe(type);
      expect(found.help[name]).toBe(help);
      for (const series of found.series.filter((one) => one.name === name))
        expect(Object.keys(series.labels)).toEqual([...labels]);
    }
    expect(METRICS_CONTENT_TYPE).toBe("text/plain; version=0.0.4; charset=utf-8");
  });

  test("never use a label that Prometheus sets itself", () => {
    const labels = Object.values(METRICS).flatMap((metric) => [...metric.labels]);
    expect(labels.filter((label) => ["job", "instance", "le", "quantile"].includes(label))).toEqual([]);
  });

  test("are in base units", async () => {
    const found = await scrape(made.fullReport());
    const app = { server: "main", database: "app" };
    const value = (name: string, labels = {}) => valueIn(found, name, { ...app, ...labels });
    expect(value("pg321_backup_last_success_timestamp_seconds")).toBe(Date.parse(made.hoursAgo(2)) / 1000);
    expect(value("pg321_backup_duration_seconds")).toBe(360);
    expect(value("pg321_backup_dump_bytes")).toBe(8 * 2 ** 30);
    expect(value("pg321_backup_interval_seconds")).toBe(86_400);
    expect(value("pg321_copies", { storage: "r2" })).toBe(7);
    expect(value("pg321_backup_copied", { storage: "r2", database: "billing" })).toBe(0);
    expect(value("pg321_backup_copied", { storage: "local", database: "billing" })).toBe(1);
    expect(value("pg321_database_state", { state: "good" })).toBe(1);
    expect(value("pg321_database_state", { state: "failing" })).toBe(0);
    expect(valueIn(found, "pg321_runs_total", { pg321_job: "backup", outcome: "OK" })).toBe(41);
    expect(valueIn(found, "pg321_runs_total", { pg321_job: "restore", outcome: "FAILED" })).toBe(0);
    expect(valueIn(found, "pg321_running", { pg321_job: "backup" })).toBe(1);
    expect(valueIn(found, "pg321_queued", { pg321_job: "cleanup" })).toBe(1);
    expect(valueIn(found, "pg321_alerts_open", { level: "WARNING" })).toBe(1);
    expect(valueIn(found, "pg321_alerts_unacknowledged", { level: "WARNING" })).toBe(0);
    expect(valueIn(found, "pg321_config_last_reload_success")).toBe(0);
    expect(valueIn(found, "pg321_cleanup_last_run_copies", { storage: "r2", result: "overdue" })).toBe(5);
    expect(valueIn(found, "pg321_cleanup_last_run_orphans", { storage: "local" })).toBe(0);
    expect(valueIn(found, "pg321_cleanup_last_run_orphans_bytes", { storage: "r2" })).toBe(12_345);
  });

  test("are absent if the value is unknown, never 0", async () => {
    const found = await scrape(made.freshReport());
    const unknown = namesIn(found).filter((name) =>
      /last_success|last_attempt|last_run|_copied|newest|free|size_bytes|reachable|last_check|error_times/.test(
        name,
      ),
    );
    expect(unknown).toEqual([]);
    for (const { name, value } of (await scrape(made.fullReport())).series)
      if (name.includes("timestamp")) expect(value).toBeGreaterThan(1.7e9);
    // Metrics about the next backup exist even for a database without any backup.
    expect(valueIn(found, "pg321_copies", { database: "app", storage: "r2" })).toBe(0);
    expect(valueIn(found, "pg321_database_first_seen_timestamp_seconds")).toBeDefined();
    expect(valueIn(found, "pg321_backup_interval_seconds")).toBe(86_400);
  });

  test("omit databases that are gone", async () => {
    const full = made.fullReport();
    expect(full.databases.map(({ database }) => database)).toContain("dropped");
    expect(JSON.stringify(await scrape(full))).not.toContain("dropped");
  });

  test("have the exact name of each database", async () => {
    const { series } = await scrape(made.oddNames());
    const names = series
      .filter(({ name }) => name === "pg321_copies")
      .map(({ labels }) => labels["database"]);
    expect([...new Set(names)].sort()).toEqual([...ODD_NAMES].sort());
    expect(names.length).toBe(ODD_NAMES.length * 2);
  });

  test("do not expect copies in a storage that only receives archived copies", async () => {
    const found = await scrape(made.fullReport(), { backupStorages: ["local"] });
    expect(valueIn(found, "pg321_copies", { database: "app", storage: "r2" })).toBe(7);
    expect(valueIn(found, "pg321_backup_copied", { database: "app", storage: "r2" })).toBeUndefined();
    expect(valueIn(found, "pg321_backup_copied", { database: "app", storage: "local" })).toBe(1);
  });

  test("accept statistics of another version", async () => {
    for (const statistics of [
      {},
      { storages: [], errors: 3 },
      { storages: { r2: null }, orphans: [7, null] },
    ]) {
      const jobs = made.fullReport().jobs.map((job) => ({ ...job, last_run: made.run({ statistics }) }));
      const found = await scrape({ ...made.fullReport(), jobs });
      expect(valueIn(found, "pg321_job_last_run_duration_seconds", { pg321_job: "cleanup" })).toBe(360.5);
      expect(valueIn(found, "pg321_cleanup_last_run_errors")).toBeUndefined();
    }
  });
});

describe("too many databases", () => {
  test("are omitted, those with the least problems first, with a metric and one warning in the log", async () => {
    const lines: string[] = [];
    const log = createLog({ format: "text", level: "info", write: (line) => lines.push(line) });
    const report = made.manyDatabases(3000);
    const found = await scrape(report, { log });
    const seriesOfOne = found.series.filter(({ labels }) => labels["database"] === "database-0006").length;
    const copies = found.series.filter(({ name }) => name === "pg321_copies");
    const shown = new Set(copies.map(({ labels }) => labels["database"]));
    expect(valueIn(found, "pg321_metrics_databases_left_out")).toBe(3000 - shown.size);
    expect(shown.size).toBeLessThan(3000);
    const ofDatabases = found.series.filter(({ labels }) => labels["database"] !== undefined);
    expect(ofDatabases.length).toBeLessThanOrEqual(DATABASE_SERIES_MAX);
    // Each exported database has all its series.
    expect(ofDatabases.length).toBe(shown.size * seriesOfOne);
    const failing = report.databases.filter(({ state }) => state === "failing");
    expect(failing.filter(({ database }) => !shown.has(database))).toEqual([]);
    expect(valueIn(found, "pg321_databases", { state: "good" })).toBe(3000 - failing.length);
    await scrape(report, { log });
    expect(lines.length).toBe(1);
    expect(lines[0]).toContain(`left_out=${3000 - shown.size}`);
  });

  test("give the event loop turns while they are written", async () => {
    let turns = 0;
    let isDone = false;
    const rendered = renderMetrics(made.manyDatabases(3000), SOURCE).finally(() => {
      isDone = true;
    });
    while (!isDone) {
      turns++;
      await setImmediate();
    }
    await rendered;
    expect(turns).toBeGreaterThan(Object.keys(METRICS).length / 2);
  });
});

test("a scrape leaves nothing behind", async () => {
  const report = made.fullReport();
  const objects: number[] = [];
  for (let round = 0; round < 8; round++) {
    for (let count = 0; count < 100; count++) await renderMetrics(report, SOURCE);
    Bun.gc(true);
    objects.push(heapStats().objectCount);
  }
  // The garbage collector may keep the last scrape, so the minimum of some rounds counts; the first two warm up.
  const [before, after] = [Math.min(...objects.slice(2, 5)), Math.min(...objects.slice(5))];
  expect(after - before).toBeLessThan(300);
});

describe("of a real catalog", () => {
  test("have the right values, also after a restart", async () => {
    await using world = await World.make({});
    const { context } = world;
    await context.catalog.overview.seeDatabases("main", ["app", "gone"], context.clock.now().toISOString());
    await world.backup("app", ["disk", "nas", "vault"]);
    await world.backup("gone", ["disk"]);
    const newest = await world.backup("app", ["disk", "nas"], { status: "PARTIAL", dump_bytes: 4096 });
    await context.catalog.overview.seeDatabases("main", ["app"], context.clock.now().toISOString());
    await world.cleanup();

    const text = await renderMetrics(await statusReport(context), await metricsSource(context));
    expect(await promtool(["check", "metrics"], { input: text })).toEqual({ exitCode: 0, output: "" });
    const fleet = await renderFleetMetrics(fleetOf());
    expect(await promtool(["check", "metrics"], { input: fleet })).toEqual({ exitCode: 0, output: "" });
    const found = scrapeOf(text);
    const record = await context.catalog.backup(newest);
    const of = (name: string, labels = {}) => valueIn(found, name, { database: "app", ...labels });
    expect(of("pg321_backup_last_success_timestamp_seconds")).toBe(
      Date.parse(record?.started_at ?? "") / 1000,
    );
    expect(of("pg321_backup_dump_bytes")).toBe(4096);
    expect(of("pg321_backup_copied", { storage: "vault" })).toBe(0);
    expect(of("pg321_copies", { storage: "disk" })).toBe(2);
    expect(of("pg321_copies", { storage: "vault" })).toBe(1);
    expect(of("pg321_backup_interval_seconds")).toBe(86_400);
    expect(valueIn(found, "pg321_copies", { database: "gone", storage: "disk" })).toBeUndefined();
    expect(valueIn(found, "pg321_storage_copies", { storage: "disk" })).toBe(3);
    expect(valueIn(found, "pg321_runs_total", { pg321_job: "cleanup", outcome: "OK" })).toBe(1);
    expect(valueIn(found, "pg321_cleanup_last_run_errors")).toBe(0);
    expect(valueIn(found, "pg321_cleanup_last_run_copies", { storage: "disk", result: "failed" })).toBe(0);

    const { config, log, clock, signal } = context;
    await using again = await openContext({ config, log, clock, signal, progress: silentProgress });
    const later = await renderMetrics(await statusReport(again), await metricsSource(again));
    const lasting = (all: string) => scrapeOf(all).series.filter(({ name }) => !name.startsWith("process_"));
    expect(lasting(later)).toEqual(lasting(text));
  });

  test("are the answer of the endpoint", async () => {
    await using lab = await endpointLab();
    const server = await lab.serve();
    const answer = await fetch(`${server.address}/metrics`);
    const text = await answer.text();
    expect(answer.headers.get("content-type")).toBe(METRICS_CONTENT_TYPE);
    expect(await promtool(["check", "metrics"], { input: text })).toEqual({ exitCode: 0, output: "" });
    expect(valueIn(scrapeOf(text), "pg321_config_last_reload_success")).toBe(1);
    expect(valueIn(scrapeOf(text), "process_resident_memory_bytes")).toBeGreaterThan(1e6);
  });
});
