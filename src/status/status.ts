import { durationMs } from "../base/clock.ts";
import { COMMIT, VERSION } from "../base/version.ts";
import type { CopyTotal } from "../catalog/overview.ts";
import type { RunRecord } from "../catalog/records.ts";
import type { StorageConfig } from "../config/config.ts";
import { RUN_JOBS } from "../config/config.ts";
import { cronTimes } from "../config/cron.ts";
import { intendedCopies, remainsLockedUntil } from "../jobs/copies/remove-intended.ts";
import { timetableOf } from "../jobs/schedules.ts";
import { type ProbeFacts, probesInForce, storageImmutability } from "../storage/immutability.ts";
import { alertStatus } from "./alert-status.ts";
import { readCoverage } from "./coverage.ts";
import { databaseStatuses } from "./databases.ts";
import { globalsStatuses } from "./globals.ts";
import type { LiveDaemon } from "./live-daemon.ts";
import { notifierStatuses } from "./notifiers.ts";
import { recoveryKitStatus } from "./recovery-kit.ts";
import type {
  ImmutabilityStatus,
  JobStatus,
  RunStatus,
  ScheduleStatus,
  StatusReport,
  StorageStatus,
} from "./report.ts";
import { runningStatuses } from "./running.ts";
import { type ReportRecords, readRecords, type StatusSource, type TimedSchedule } from "./source.ts";

/**
 * The current state of an installation, from the catalog and, if given, the running daemon: asks no storage and no
 * server. Without a daemon the next runs are calculated from the schedules. Rejects as `Catalog` does.
 */
export async function statusReport(source: StatusSource, live?: LiveDaemon): Promise<StatusReport> {
  const { catalog, config, clock, host, installation } = source;
  const now = clock.now();
  const schedules = timedSchedules(source, now, live?.nextRuns());
  const work = {
    jobs: await jobStatuses(source, schedules, now),
    schedules: await Promise.all(schedules.map((schedule) => scheduleStatus(source, schedule, now))),
    running: await runningStatuses(source, live?.running() ?? []),
  };
  const records = await readRecords(source, now);
  const alerts = await catalog.alerts({ open: true });
  return {
    version: VERSION,
    commit: COMMIT,
    host,
    installation,
    now: now.toISOString(),
    timezone: config.timezone,
    daemon: live?.daemon() ?? null,
    catalog: catalog.spool?.status() ?? null,
    ...work,
    databases: await databaseStatuses(source, schedules, records),
    storages: await storageStatuses(source, records),
    notifiers: await notifierStatuses(source),
    recovery_kit: await recoveryKitStatus(source),
    globals: globalsStatuses(source, records, alerts),
    alerts: alerts.map(alertStatus),
  };
}

function timedSchedules(
  { config }: StatusSource,
  now: Date,
  nextRuns: ReturnType<LiveDaemon["nextRuns"]> | undefined,
): TimedSchedule[] {
  return timetableOf(config, now).map((entry) => {
    const next = nextRuns ? nextRuns.get(entry.name) : cronTimes(entry.pattern, config.timezone).nextRun(now);
    return { ...entry, nextRunAt: next?.toISOString() ?? null };
  });
}

async function jobStatuses(
  { catalog }: StatusSource,
  schedules: readonly TimedSchedule[],
  now: Date,
): Promise<JobStatus[]> {
  const latest = new Map((await catalog.overview.latestRuns(now)).map((runs) => [runs.job, runs]));
  return RUN_JOBS.map((job) => {
    const runs = latest.get(job);
    const next = schedules.flatMap((one) => (one.job === job && one.nextRunAt ? [one.nextRunAt] : []));
    return {
      job,
      last_run: runs ? runStatus(runs.ended) : null,
      last_success_at: runs?.ok?.finished_at ?? null,
      next_run_at: next.sort()[0] ?? null,
    };
  });
}

async function scheduleStatus(
  { catalog }: StatusSource,
  { name, job, pattern, nextRunAt, intervalMs }: TimedSchedule,
  now: Date,
): Promise<ScheduleStatus> {
  const { ended, skipped } = await catalog.overview.scheduleRuns(name, now);
  return {
    name,
    job,
    pattern,
    next_run_at: nextRunAt,
    interval_ms: intervalMs ?? null,
    skipped,
    last_run: ended && runStatus(ended),
  };
}

function runStatus(run: RunRecord): RunStatus {
  const { id, outcome, started_at, finished_at, statistics, error, schedule } = run;
  return {
    id,
    outcome,
    started_at,
    finished_at,
    duration_ms: durationMs(run),
    statistics,
    error,
    schedule,
  };
}

/** Copies are those of the databases of this host: other hosts that use the storage report their own. */
async function storageStatuses(source: StatusSource, records: ReportRecords): Promise<StorageStatus[]> {
  const { catalog, storages, config } = source;
  const { others } = records.ownership;
  const names = new Set(config.server.map(({ name }) => name));
  const isOwn = ({ server }: CopyTotal) => others.length === 0 || names.size === 0 || names.has(server);
  const seen = new Map(records.storages.map((record) => [record.name, record]));
  const settings = storages.map((storage) => storage.settings);
  const probes = probesInForce(records.probes, settings);
  const coverageOf = await readCoverage(catalog, records.now);
  const lockedUntil = await lockedRemainsUntil(source, records.now);
  return storages.map((storage) => {
    const { type: _type, ...location } = storage.describe();
    const record = seen.get(storage.name);
    const all = records.totals.filter((total) => total.storage === storage.name);
    const own = sumsOf(all.filter(isOwn));
    return {
      name: storage.name,
      type: storage.settings.type,
      location,
      off_site: storage.settings.off_site,
      is_reachable: record?.checked_at ? record.check_error === null : null,
      checked_at: record?.checked_at ?? null,
      error: record?.check_error ?? null,
      immutability: immutabilityStatus(storage.settings, probes.get(storage.name)),
      free_bytes: record?.free_bytes ?? null,
      total_bytes: record?.total_bytes ?? null,
      copies: own.copies,
      stored_bytes: own.bytes,
      coverage: coverageOf(storage.name, sumsOf(all)),
      errors: record?.errors ?? 0,
      last_error: record?.last_error ?? null,
      last_error_at: record?.last_error_at ?? null,
      locked_remains_until: lockedUntil.get(storage.name) ?? null,
    };
  });
}

function sumsOf(totals: readonly CopyTotal[]): { copies: number; bytes: number } {
  return {
    copies: totals.reduce((sum, one) => sum + one.copies, 0),
    bytes: totals.reduce((sum, one) => sum + one.bytes, 0),
  };
}

/** By storage, the last end of the locks of remains. */
async function lockedRemainsUntil(source: StatusSource, now: Date): Promise<Map<string, string>> {
  const ends = new Map<string, string>();
  for await (const copy of intendedCopies(source)) {
    const storage = source.storages.find(({ name }) => name === copy.storage);
    const end = storage && remainsLockedUntil(storage.settings, copy, now);
    if (end !== undefined && end > (ends.get(copy.storage) ?? "")) ends.set(copy.storage, end);
  }
  return ends;
}

/** The part of a storage's status about immutable copies. */
export function immutabilityStatus(
  settings: StorageConfig,
  probe: ProbeFacts | undefined,
): ImmutabilityStatus {
  const { by, isImmutable, isWanted, probedAt, sentence, nextStep } = storageImmutability(settings, probe);
  return {
    by,
    is_immutable: isImmutable,
    is_wanted: isWanted,
    probed_at: probedAt,
    sentence,
    next_step: nextStep,
  };
}
