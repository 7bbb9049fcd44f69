import { setImmediate } from "node:timers/promises";
import { Registry } from "prom-client";
import { DATABASE_SERIES_MAX } from "../../base/limits.ts";
import type { Log } from "../../base/log.ts";
import type { RunTotal } from "../../catalog/overview.ts";
import { ALERT_LEVELS } from "../../config/config.ts";
import type { JobContext } from "../../jobs/context.ts";
import { backupStorages } from "../../jobs/storages.ts";
import { RULES } from "../../rule/facts.ts";
import type { DatabaseStatus, NotifierStatus, StatusReport, StorageStatus } from "../../status/report.ts";
import { isOurs } from "../../status/verdict.ts";
import { setJobs } from "./jobs.ts";
import { type ProcessUsage, processUsage } from "./process.ts";
import { MetricSheet } from "./sheet.ts";
import { seconds, unixTime } from "./units.ts";

export const METRICS_CONTENT_TYPE: string = Registry.PROMETHEUS_CONTENT_TYPE;

/** The data for metrics that is not in the report. */
export interface MetricsSource {
  runTotals: readonly RunTotal[];
  /** Names of the storages that every backup goes to; the others receive only archived copies. */
  backupStorages: readonly string[];
  /** Gets one warning when series of databases are omitted. */
  log: Log;
}

/** Rejects as `Overview` does. */
export async function metricsSource(
  context: Pick<JobContext, "catalog" | "config" | "storages" | "log">,
): Promise<MetricsSource> {
  return {
    runTotals: await context.catalog.overview.runTotals(),
    backupStorages: backupStorages(context).map(({ name }) => name),
    log: context.log,
  };
}

/** Problems first: if there are too many databases, the first ones are exported. */
const STATES = ["failing", "stale", "never", "partial", "good"] as const;
const ENDED = ["VERIFIED", "PARTIAL", "FAILED", "INTERRUPTED"] as const;
/** The maximum number of series of one database, and of one database in one storage. */
const DATABASE_SERIES = 12 + STATES.length + ENDED.length + 2 * RULES.length;
const COPIES_SERIES = 4;
/** After this many databases the event loop gets a turn. */
const DATABASES_AT_ONCE = 100;

/** Logs that already hold the warning about omitted databases. */
const warnedLogs = new WeakSet<Log>();

/**
 * The body of `GET /metrics`, of type `METRICS_CONTENT_TYPE`. All values come from the report and the catalog and
 * so survive a restart, except the process metrics. Unknown values have no series. Databases that are gone are
 * omitted; if more than `DATABASE_SERIES_MAX` series would remain, so are the databases with the least problems.
 */
export async function renderMetrics(report: StatusReport, source: MetricsSource): Promise<string> {
  const sheet = new MetricSheet();
  setInstallation(sheet, report);
  setJobs(sheet, report, source.runTotals);
  for (const notifier of report.notifiers) setNotifier(sheet, notifier);
  for (const storage of report.storages) setStorage(sheet, storage);
  for (const { server, state, newest_good } of report.globals ?? []) {
    sheet.set("pg321_globals_good", { server }, state === "good" ? 1 : 0);
    if (newest_good)
      sheet.set("pg321_globals_last_success_timestamp_seconds", { server }, unixTime(newest_good.started_at));
  }
  await setDatabases(sheet, report.databases, source);
  setProcess(sheet, report, processUsage());
  return await sheet.text();
}

function setInstallation(sheet: MetricSheet, report: StatusReport): void {
  const { version, commit, installation, host, daemon, alerts } = report;
  sheet.set("pg321_build_info", { version, commit }, 1);
  sheet.set("pg321_installation_info", { installation, host }, 1);
  if (daemon) {
    const { last_reload, started_at } = daemon;
    sheet.set("pg321_config_last_reload_success", {}, last_reload?.is_ok === false ? 0 : 1);
    sheet.set("pg321_config_last_reload_timestamp_seconds", {}, unixTime(last_reload?.at ?? started_at));
  }
  // A daemon of an older version does not report it.
  if (report.recovery_kit) {
    const { made_at, is_current } = report.recovery_kit;
    sheet.set("pg321_recovery_kit_made_timestamp_seconds", {}, unixTime(made_at));
    sheet.set("pg321_recovery_kit_current", {}, is_current ? 1 : 0);
  }
  if (report.catalog) {
    sheet.set("pg321_catalog_unreachable", {}, report.catalog.unreachable_since === null ? 0 : 1);
    sheet.set("pg321_catalog_waiting_records", {}, report.catalog.waiting);
  }
  for (const level of ALERT_LEVELS) {
    const open = alerts.filter((alert) => alert.level === level);
    const unacknowledged = open.filter(({ acknowledged_at }) => acknowledged_at === null);
    sheet.set("pg321_alerts_open", { level }, open.length);
    sheet.set("pg321_alerts_unacknowledged", { level }, unacknowledged.length);
  }
}

async function setDatabases(
  sheet: MetricSheet,
  databases: readonly DatabaseStatus[],
  { backupStorages, log }: MetricsSource,
): Promise<void> {
  const present = databases.filter(isOurs);
  for (const state of STATES)
    sheet.set("pg321_databases", { state }, present.filter((database) => database.state === state).length);
  const shown = fitting(present);
  const leftOut = present.length - shown.length;
  sheet.set("pg321_metrics_databases_left_out", {}, leftOut);
  if (leftOut > 0 && !warnedLogs.has(log)) {
    warnedLogs.add(log);
    log.warning("metrics: too many databases; series of those with the least problems are omitted", {
      shown: shown.length,
      left_out: leftOut,
      series_max: DATABASE_SERIES_MAX,
    });
  }
  for (const [index, database] of shown.entries()) {
    if (index % DATABASES_AT_ONCE === DATABASES_AT_ONCE - 1) await setImmediate();
    setDatabase(sheet, database);
    setMarks(sheet, database);
    setRestoreTest(sheet, database);
    setCopies(sheet, database, backupStorages);
  }
}

/** The databases that may have series: as many as fit, each with all of its series. */
function fitting(databases: readonly DatabaseStatus[]): DatabaseStatus[] {
  const rank = ({ state }: DatabaseStatus) => (STATES as readonly string[]).indexOf(state);
  // The databases arrive sorted by name; a stable sort keeps that order within each state.
  const ranked = databases.toSorted((a, b) => rank(a) - rank(b));
  let series = 0;
  const end = ranked.findIndex(({ copies }) => {
    series += DATABASE_SERIES + COPIES_SERIES * copies.length;
    return series > DATABASE_SERIES_MAX;
  });
  return end === -1 ? ranked : ranked.slice(0, end);
}

function setDatabase(sheet: MetricSheet, one: DatabaseStatus): void {
  const { server, database, newest_good: good, last_attempt: attempt } = one;
  const labels = { server, database };
  sheet.set("pg321_database_first_seen_timestamp_seconds", labels, unixTime(one.first_seen_at));
  sheet.setState("pg321_database_state", labels, "state", STATES, one.state);
  sheet.set("pg321_backup_interval_seconds", labels, seconds(one.interval_ms));
  sheet.set("pg321_backup_next_timestamp_seconds", labels, unixTime(one.next_backup_at));
  if (good) {
    sheet.set("pg321_backup_last_success_timestamp_seconds", labels, unixTime(good.started_at));
    sheet.set("pg321_backup_duration_seconds", labels, seconds(good.duration_ms));
    sheet.set("pg321_backup_dump_bytes", labels, good.dump_bytes);
    sheet.set("pg321_backup_stored_bytes", labels, good.object_bytes);
  }
  // A running attempt has no result yet.
  if (attempt && attempt.status !== "RUNNING") {
    const isGood = attempt.status === "VERIFIED" || attempt.status === "PARTIAL";
    sheet.set("pg321_backup_last_attempt_timestamp_seconds", labels, unixTime(attempt.started_at));
    sheet.set("pg321_backup_last_attempt_success", labels, isGood ? 1 : 0);
    sheet.setState("pg321_backup_last_attempt_status", labels, "status", ENDED, attempt.status);
  }
}

/** A mark that is not set up, or not demanded, is neither satisfied nor lost. */
function setMarks(sheet: MetricSheet, { server, database, marks }: DatabaseStatus): void {
  for (const { rule, state, since } of marks) {
    if (state !== "held" && state !== "lost") continue;
    sheet.set("pg321_rule_satisfied", { server, database, rule }, Number(state === "held"));
    sheet.set("pg321_rule_since_timestamp_seconds", { server, database, rule }, unixTime(since));
  }
}

function setRestoreTest(sheet: MetricSheet, { server, database, restore_test: test }: DatabaseStatus): void {
  if (test === null) return;
  const labels = { server, database };
  sheet.set("pg321_restore_test_last_success_timestamp_seconds", labels, unixTime(test.last_passed_at));
  sheet.set("pg321_restore_test_last_result", labels, Number(test.outcome === "PASSED"));
  sheet.set("pg321_restore_test_recovery_seconds", labels, seconds(test.recovery_ms));
}

/** A storage without a copy of the database is exported with 0, so that the missing copy is visible. */
function setCopies(sheet: MetricSheet, one: DatabaseStatus, backupStorages: readonly string[]): void {
  const { server, database, newest_good: good } = one;
  for (const { storage, copies, bytes, newest_started_at, is_used } of one.copies) {
    const labels = { server, database, storage };
    if (good && is_used && backupStorages.includes(storage))
      sheet.set("pg321_backup_copied", labels, good.storages.includes(storage) ? 1 : 0);
    sheet.set("pg321_copies", labels, copies);
    sheet.set("pg321_copies_bytes", labels, bytes);
    sheet.set("pg321_copies_newest_timestamp_seconds", labels, unixTime(newest_started_at));
  }
}

function setStorage(sheet: MetricSheet, one: StorageStatus): void {
  const labels = { storage: one.name };
  const { type, off_site, is_reachable } = one;
  sheet.set("pg321_storage_info", { ...labels, type, off_site: String(off_site) }, 1);
  sheet.set("pg321_storage_reachable", labels, is_reachable === null ? null : Number(is_reachable));
  sheet.set("pg321_storage_last_check_timestamp_seconds", labels, unixTime(one.checked_at));
  sheet.set("pg321_storage_free_bytes", labels, one.free_bytes);
  sheet.set("pg321_storage_size_bytes", labels, one.total_bytes);
  sheet.set("pg321_storage_copies", labels, one.copies);
  sheet.set("pg321_storage_stored_bytes", labels, one.stored_bytes);
  sheet.set("pg321_storage_immutable", labels, Number(one.immutability.is_immutable));
  sheet.set("pg321_storage_lock_probe_timestamp_seconds", labels, unixTime(one.immutability.probed_at));
  for (const { days, copies_ratio, bytes_ratio } of one.coverage) {
    const within = { ...labels, days: String(days) };
    sheet.set("pg321_verify_coverage_ratio", within, copies_ratio);
    sheet.set("pg321_verify_coverage_bytes_ratio", within, bytes_ratio);
  }
  sheet.set("pg321_storage_errors_total", labels, one.errors);
  sheet.set("pg321_storage_last_error_timestamp_seconds", labels, unixTime(one.last_error_at));
}

function setNotifier(sheet: MetricSheet, one: NotifierStatus): void {
  const labels = { notifier: one.name };
  sheet.set("pg321_notifier_failing", labels, Number(one.error !== null));
  if (one.error !== null) sheet.set("pg321_notifier_error_info", { ...labels, error: one.error }, 1);
  sheet.set("pg321_notifier_waiting_notices", labels, one.waiting);
  sheet.set("pg321_notifier_given_up_notices", labels, one.given_up);
  sheet.set("pg321_notifier_last_delivery_timestamp_seconds", labels, unixTime(one.last_delivered_at));
}

function setProcess(sheet: MetricSheet, { daemon }: StatusReport, usage: ProcessUsage): void {
  sheet.set("process_cpu_seconds_total", {}, usage.cpuSeconds);
  sheet.set("process_resident_memory_bytes", {}, usage.residentBytes);
  sheet.set("process_virtual_memory_bytes", {}, usage.virtualBytes);
  sheet.set("process_open_fds", {}, usage.openFiles);
  sheet.set("process_max_fds", {}, usage.openFilesMax);
  sheet.set("process_start_time_seconds", {}, unixTime(daemon?.started_at ?? null));
}
