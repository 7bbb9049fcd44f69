import type { Config } from "../config/config.ts";
import { intervalMs, type Schedule, schedulesOf } from "./schedules.ts";

/** A schedule with what is costly to work out of its pattern. */
export interface TimetableEntry extends Schedule {
  /** The longest time between two of its runs; undefined where it has no more than one. */
  intervalMs: number | undefined;
}

type Scheduled = Pick<Config, "schedule" | "timezone">;

/** Longer intervals come and go with the seasons (a day of 25 hours), so they are worked out anew. */
const KEPT_MS = 86_400_000;
const KEPT = new WeakMap<Scheduled, { at: Date; entries: readonly TimetableEntry[] }>();

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
