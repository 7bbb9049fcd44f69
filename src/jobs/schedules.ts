import { DAY_MS, HOUR_MS } from "../base/limits.ts";
import type { Config, ScheduleOverride } from "../config/config.ts";
import { cronTimes, OFF } from "../config/cron.ts";
import { serverPattern } from "../config/database-pattern.ts";

export const SCHEDULED_JOBS = ["backup", "cleanup", "verify", "repair"] as const;

export type ScheduledJob = (typeof SCHEDULED_JOBS)[number];

/** One cron pattern at work. */
export interface Schedule {
  /** `backup`, or `backup busy` for that of the override "busy". It stands in records and metrics. */
  name: string;
  job: ScheduledJob;
  /** Never "off". */
  pattern: string;
  /** Whether a run of it is about this database. For cleanup and repair always true: they are about all. */
  selects: (server: string, database: string) => boolean;
}

/** Enough times to see the longest pause of a pattern that has only a few runs a day, or a year. */
const TIMES = 60;

/** Those with more are looked at hour by hour for a week and a day: nights and weekends are their pauses. */
const HOURS = 8 * 24;

/**
 * The schedules of a config that are not off. Every database is in exactly one of a job, or its job is off.
 * Throws code `usage` for a glob that is none.
 */
export function schedulesOf({ schedule }: Pick<Config, "schedule">): Schedule[] {
  return SCHEDULED_JOBS.flatMap((job) => {
    const taken: Schedule["selects"][] = [];
    const isTaken: Schedule["selects"] = (...name) => taken.some((selects) => selects(...name));
    const found: Schedule[] = [];
    for (const override of schedule.override) {
      const pattern = job === "backup" || job === "verify" ? override[job] : undefined;
      if (pattern === undefined) continue;
      const [isNamed, earlier] = [namedBy(override), [...taken]];
      const selects: Schedule["selects"] = (...name) =>
        isNamed(...name) && !earlier.some((one) => one(...name));
      taken.push(isNamed);
      found.push({ name: `${job} ${override.name}`, job, pattern, selects });
    }
    found.push({ name: job, job, pattern: schedule[job], selects: (...name) => !isTaken(...name) });
    return found;
  }).filter(({ pattern }) => pattern !== OFF);
}

/** The longest time between two runs in the time to come after `from`, in milliseconds. */
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

/** A schedule with what is costly to work out of its pattern. */
export interface TimetableEntry extends Schedule {
  /** The longest time between two of its runs; undefined where it has no more than one. */
  intervalMs: number | undefined;
}

export type Scheduled = Pick<Config, "schedule" | "timezone">;

/** Longer intervals come and go with the seasons (a day of 25 hours), so they are worked out anew. */
export const KEPT_MS = DAY_MS;

export const KEPT = new WeakMap<Scheduled, { at: Date; entries: readonly TimetableEntry[] }>();

/** The schedules of a config that are not off. Kept for a day, so that it costs nothing to ask. */
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

/** The schedule by which a database is backed up; undefined where that is off. */
export function backupEntry<E extends TimetableEntry>(
  timetable: readonly E[],
  server: string,
  database: string,
): E | undefined {
  return timetable.find(({ job, selects }) => job === "backup" && selects(server, database));
}
