import { DAY_MS, HOUR_MS } from "../base/limits.ts";
import type { Config, ScheduleOverride } from "../config/config.ts";
import { cronTimes, OFF } from "../config/cron.ts";
import type { DatabaseRules } from "../config/database/settings.ts";
import { databaseRuleName, scheduleRuleFor } from "../config/database/settings.ts";
import { serverPattern } from "../config/database-pattern.ts";

export const SCHEDULED_JOBS = ["backup", "cleanup", "verify", "repair", "restore-test"] as const;

export type ScheduledJob = (typeof SCHEDULED_JOBS)[number];

/** One schedule: a cron pattern for a job and some databases. */
export interface Schedule {
  /**
   * `backup`, `backup busy` for the override "busy", or `backup database main/shop` for a [[database]] table. Used in
   * records and metrics.
   */
  name: string;
  job: ScheduledJob;
  /** Never "off". */
  pattern: string;
  /** Whether its runs include this database. Always true for cleanup and repair, which are about all databases. */
  selects: (server: string, database: string) => boolean;
}

/** Jobs without a schedule for single databases. */
const OF_ALL_DATABASES: readonly ScheduledJob[] = ["cleanup", "repair"];

/** The key of a job in `[schedule]`. */
function keyOf(job: ScheduledJob): "backup" | "cleanup" | "verify" | "repair" | "restore_test" {
  return job === "restore-test" ? "restore_test" : job;
}

/** This many run times are enough to find the longest pause of a pattern with few runs per day or per year. */
const TIMES = 60;

/** More frequent patterns are checked hour by hour for eight days: their longest pauses are nights and weekends. */
const HOURS = 8 * 24;

/**
 * The schedules of a config that are not off. For each job, every database belongs to exactly one schedule or to one
 * that is off. Throws code `usage` for an invalid glob.
 */
export function schedulesOf(config: Pick<Config, "schedule"> & DatabaseRules): Schedule[] {
  const { schedule } = config;
  return SCHEDULED_JOBS.flatMap((job) => {
    const own = job === "backup" ? databaseSchedules(config) : [];
    const taken: Schedule["selects"][] = own.map(({ selects }) => selects);
    const isTaken: Schedule["selects"] = (...name) => taken.some((selects) => selects(...name));
    const found: Schedule[] = [...own];
    for (const override of schedule.override) {
      const pattern = OF_ALL_DATABASES.includes(job) ? undefined : override[keyOf(job) as "backup"];
      if (pattern === undefined) continue;
      const [isNamed, earlier] = [namedBy(override), [...taken]];
      const selects: Schedule["selects"] = (...name) =>
        isNamed(...name) && !earlier.some((one) => one(...name));
      taken.push(isNamed);
      found.push({ name: `${job} ${override.name}`, job, pattern, selects });
    }
    found.push({ name: job, job, pattern: schedule[keyOf(job)], selects: (...name) => !isTaken(...name) });
    return found;
  }).filter(({ pattern }) => pattern !== OFF);
}

/** The schedules of [[database]] tables: they win over overrides, and of several tables the one that `settings.ts` says. */
function databaseSchedules(config: DatabaseRules): Schedule[] {
  return (config.database ?? []).flatMap((rule) => {
    if (rule.schedule === undefined) return [];
    const selects: Schedule["selects"] = (...name) => scheduleRuleFor(config, ...name) === rule;
    return [
      { name: `backup database ${databaseRuleName(rule)}`, job: "backup", pattern: rule.schedule, selects },
    ];
  });
}

/** The longest time between two runs after `from`, in milliseconds; undefined if there are not two. */
export function intervalMs(pattern: string, timezone: string, from: Date): number | undefined {
  const cron = cronTimes(pattern, timezone);
  const times = cron.nextRuns(TIMES, from).map((time) => time.getTime());
  const pauses = times.slice(1).map((time, index) => time - (times[index] ?? time));
  const seenUntil = times[TIMES - 1] ?? Number.POSITIVE_INFINITY;
  for (let hour = 1; hour <= HOURS; hour++) {
    const moment = from.getTime() + hour * HOUR_MS;
    const next = moment < seenUntil ? null : cron.nextRun(new Date(moment));
    const [before] = next ? cron.previousRuns(1, next) : [];
    if (next && before) pauses.push(next.getTime() - before.getTime());
  }
  return pauses.length === 0 ? undefined : Math.max(...pauses);
}

function namedBy({ databases }: ScheduleOverride): Schedule["selects"] {
  const patterns = databases.map(serverPattern);
  return (server, database) => patterns.some(({ matches }) => matches(server, database));
}

/** A schedule and its interval, which is costly to compute. */
export interface TimetableEntry extends Schedule {
  /** The longest time between two of its runs; undefined if it has only one. */
  intervalMs: number | undefined;
}

export type Scheduled = Pick<Config, "schedule" | "timezone"> & DatabaseRules;

/** Intervals change over the year (a day of 25 hours), so they are computed again after this time. */
const KEPT_MS = DAY_MS;

const KEPT = new WeakMap<Scheduled, { at: Date; entries: readonly TimetableEntry[] }>();

/** The schedules of a config that are not off, cached for a day. */
export function timetableOf(config: Scheduled, now: Date): readonly TimetableEntry[] {
  const kept = KEPT.get(config);
  if (kept && Math.abs(now.getTime() - kept.at.getTime()) < KEPT_MS) return kept.entries;
  const entries = schedulesOf(config).map((schedule) => ({
    ...schedule,
    intervalMs: intervalMs(schedule.pattern, config.timezone, now),
  }));
  KEPT.set(config, { at: now, entries });
  return entries;
}

/** The backup schedule of a database; undefined if it is off. */
export function backupEntry<E extends TimetableEntry>(
  timetable: readonly E[],
  server: string,
  database: string,
): E | undefined {
  return timetable.find(({ job, selects }) => job === "backup" && selects(server, database));
}
