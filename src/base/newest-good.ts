import { RECORD_AHEAD_MS_MAX } from "./limits.ts";

/**
 * The one rule for "newest" (the newest good backup of a database, its newest attempt, the newest run of a job): the
 * one that began last by a credible date. A date ahead of the clock means that the clock was ahead then, or is behind
 * now: such a record counts only if there is no other, and then the latest of them. The catalog (`Catalog.newestGood`,
 * `Overview`) and retention follow this rule, and `pg321 list` sorts by it.
 */

/** A record that began later than this is dated ahead. */
export function believedUntil(now: Date): Date {
  return new Date(now.getTime() + RECORD_AHEAD_MS_MAX);
}

/** Also true for an invalid date. */
export function isAhead(startedAt: Date, now: Date): boolean {
  return !(startedAt.getTime() - now.getTime() <= RECORD_AHEAD_MS_MAX);
}

/** The newest record by this rule; the records come newest first. Undefined if there are none. */
export function newestOf<T>(
  newestFirst: readonly T[],
  startedAt: (one: T) => Date,
  now: Date,
): T | undefined {
  return newestFirst.find((one) => !isAhead(startedAt(one), now)) ?? newestFirst[0];
}
