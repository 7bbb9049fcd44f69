import { RECORD_AHEAD_MS_MAX } from "./limits.ts";

/**
 * The one rule of the newest: the newest good backup of a database, its newest attempt, the newest run of a job
 * is that which began last by a date that can be believed. What is dated ahead of the clock was made under a
 * clock that was ahead, or ours is behind: it counts only where there is no other, and then the latest of them.
 * The catalog answers by it (`Catalog.newestGood`, `Overview`), retention plans by it, and `pg321 list` sorts by it.
 */

/** What began later is dated ahead. */
export function believedUntil(now: Date): Date {
  return new Date(now.getTime() + RECORD_AHEAD_MS_MAX);
}

/** True also for a date that is none. */
export function isAhead(startedAt: Date, now: Date): boolean {
  return !(startedAt.getTime() - now.getTime() <= RECORD_AHEAD_MS_MAX);
}

/** The newest by this rule of those that are given newest first; undefined where none is. */
export function newestOf<T>(
  newestFirst: readonly T[],
  startedAt: (one: T) => Date,
  now: Date,
): T | undefined {
  return newestFirst.find((one) => !isAhead(startedAt(one), now)) ?? newestFirst[0];
}
