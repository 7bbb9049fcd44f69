import type { RunTotal } from "../../catalog/overview.ts";
import { RUN_JOBS } from "../../config/config.ts";
import type { JobStatus, RunStatus, ScheduleStatus, StatusReport } from "../../status/report.ts";
import type { MetricSheet } from "./sheet.ts";
import { seconds, unixTime } from "./units.ts";

const ENDED = ["OK", "PARTIAL", "FAILED", "INTERRUPTED"] as const;
/** Keys of `StorageStatistics` in the record of a cleanup run. */
const CLEANUP_RESULTS = ["expired", "deleted", "archived", "hidden", "held", "failed", "overdue"] as const;

/** Keys of the record of a restored server. */
const SERVER_RESULTS = ["restored", "partial", "skipped", "failed", "unfinished", "missing"] as const;

/** Sets the metrics of jobs, schedules and runs, and the counts of the last runs. */
export function setJobs(sheet: MetricSheet, report: StatusReport, runTotals: readonly RunTotal[]): void {
  setRuns(sheet, report, runTotals);
  for (const job of report.jobs) setJob(sheet, job);
  for (const schedule of report.schedules) setSchedule(sheet, schedule);
  const counted = (name: string) => counts(report.jobs.find(({ job }) => job === name)?.last_run);
  setResults(sheet, "pg321_backup_last_run_databases", counted("backup"), ["verified", "partial", "failed"]);
  setResults(sheet, "pg321_restore_server_last_run_databases", counted("restore-server"), SERVER_RESULTS);
  setResults(sheet, "pg321_verify_last_run_copies", counted("verify"), ["good", "bad"]);
  setResults(sheet, "pg321_repair_last_run_copies", counted("repair"), ["filled", "failed"]);
  setCleanup(sheet, counted("cleanup"));
}

/** Outcomes that never occurred are exported as 0: a counter whose first value is 1 shows no increase. */
function setRuns(sheet: MetricSheet, { running }: StatusReport, runTotals: readonly RunTotal[]): void {
  for (const job of RUN_JOBS) {
    const labels = { pg321_job: job };
    for (const outcome of [...ENDED, "SKIPPED", "IDLE"] as const) {
      const total = runTotals.find((one) => one.job === job && one.outcome === outcome);
      sheet.set("pg321_runs_total", { ...labels, outcome }, total?.runs ?? 0);
    }
    const ofJob = running.filter((one) => one.job === job);
    const queued = ofJob.filter(({ state }) => state === "queued").length;
    sheet.set("pg321_running", labels, ofJob.length - queued);
    sheet.set("pg321_queued", labels, queued);
  }
}

function setJob(sheet: MetricSheet, { job, last_run, last_success_at, next_run_at }: JobStatus): void {
  const labels = { pg321_job: job };
  sheet.set("pg321_job_last_run_timestamp_seconds", labels, unixTime(last_run?.started_at ?? null));
  sheet.set("pg321_job_last_run_duration_seconds", labels, seconds(last_run?.duration_ms ?? null));
  if (last_run) sheet.setState("pg321_job_last_run_outcome", labels, "outcome", ENDED, last_run.outcome);
  sheet.set("pg321_job_last_success_timestamp_seconds", labels, unixTime(last_success_at));
  sheet.set("pg321_job_next_run_timestamp_seconds", labels, unixTime(next_run_at));
}

function setSchedule(sheet: MetricSheet, schedule: ScheduleStatus): void {
  const labels = { schedule: schedule.name, pg321_job: schedule.job };
  const { interval_ms, next_run_at, last_run, skipped } = schedule;
  sheet.set("pg321_schedule_interval_seconds", labels, seconds(interval_ms));
  sheet.set("pg321_schedule_next_run_timestamp_seconds", labels, unixTime(next_run_at));
  sheet.set("pg321_schedule_last_run_timestamp_seconds", labels, unixTime(last_run?.started_at ?? null));
  sheet.set("pg321_schedule_skipped_runs", labels, skipped);
}

/** The statistics of a run are JSON that may come from another version of pg321: any key may be missing. */
type Counts = Record<string, unknown> | null;

function counts(run: RunStatus | null | undefined): Counts {
  return run?.statistics ?? null;
}

function setResults(
  sheet: MetricSheet,
  name:
    | "pg321_backup_last_run_databases"
    | "pg321_restore_server_last_run_databases"
    | "pg321_verify_last_run_copies"
    | "pg321_repair_last_run_copies",
  statistics: Counts,
  results: readonly string[],
): void {
  for (const result of results) sheet.set(name, { result }, numberIn(statistics, result));
}

function setCleanup(sheet: MetricSheet, statistics: Counts): void {
  if (!statistics) return;
  for (const [storage, found] of Object.entries(recordIn(statistics, "storages") ?? {})) {
    const ofStorage = isRecord(found) ? found : null;
    for (const result of CLEANUP_RESULTS)
      sheet.set("pg321_cleanup_last_run_copies", { storage, result }, numberIn(ofStorage, result));
    sheet.set("pg321_cleanup_last_run_freed_bytes", { storage }, numberIn(ofStorage, "bytes_freed"));
    const orphans = listIn(statistics, "orphans")?.find((one) => isRecord(one) && one["storage"] === storage);
    const counted = isRecord(orphans) ? orphans : { objects: 0, bytes: 0 };
    sheet.set("pg321_cleanup_last_run_orphans", { storage }, numberIn(counted, "objects"));
    sheet.set("pg321_cleanup_last_run_orphans_bytes", { storage }, numberIn(counted, "bytes"));
  }
  const number = (key: string) => numberIn(statistics, key);
  sheet.set("pg321_cleanup_last_run_records_deleted", {}, number("records_deleted"));
  sheet.set("pg321_cleanup_last_run_temporary_files_deleted", {}, number("temporary_files_deleted"));
  sheet.set("pg321_cleanup_last_run_uploads_aborted", {}, number("multipart_uploads_aborted"));
  sheet.set("pg321_cleanup_last_run_copies_missing", {}, number("missing"));
  sheet.set("pg321_cleanup_last_run_errors", {}, listIn(statistics, "errors")?.length ?? null);
  const suspended = listIn(statistics, "suspended");
  sheet.set("pg321_cleanup_last_run_suspended", {}, suspended && (suspended.length > 0 ? 1 : 0));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function numberIn(record: Counts, key: string): number | null {
  const value = record?.[key];
  return typeof value === "number" ? value : null;
}

function recordIn(record: Counts, key: string): Counts {
  const value = record?.[key];
  return isRecord(value) ? value : null;
}

function listIn(record: Counts, key: string): unknown[] | null {
  const value = record?.[key];
  return Array.isArray(value) ? value : null;
}
