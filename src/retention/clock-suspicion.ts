import { rfc3339 } from "../base/clock.ts";
import { DAY_MS, HOUR_MS, spanText } from "./spans.ts";

export interface ClockFacts {
  now: Date;
  /** The `Date` headers of S3 replies of this run, each beside this host's time when it came. */
  s3Dates: readonly { storage: string; date: Date; receivedAt: Date }[];
  /** The newest time in any record; undefined where there is none. */
  newestRecord: Date | undefined;
  /** The end of the last run of any job, this one and cleanups that were suspended left out. */
  lastActivity: Date | undefined;
  /** When a cleanup was last suspended for its clock, unless a confirmation has lifted that since. */
  lastSuspended?: Date | undefined;
  /** Start of the newest good backup of any database that is not dated ahead. */
  newestGood?: Date | undefined;
}

const SKEW_MS_MAX = HOUR_MS;
const SILENCE_MS_MAX = 7 * DAY_MS;

/**
 * Why this host's clock is not to be trusted with deletions, in one sentence; undefined when it is. A clock
 * that runs ahead makes every backup too old at once. S3 knows the time; without it the records have to do,
 * until a new good backup shows that somebody works with this clock.
 */
export function clockSuspicion(facts: ClockFacts): string | undefined {
  for (const { storage, date, receivedAt } of facts.s3Dates) {
    const skewMs = receivedAt.getTime() - date.getTime();
    if (Math.abs(skewMs) <= SKEW_MS_MAX) continue;
    return `this host's clock is ${spanText(skewMs)} ${skewMs > 0 ? "ahead of" : "behind"} that of storage "${storage}"`;
  }
  return facts.s3Dates.length > 0 ? undefined : suspicionByRecords(facts);
}

function suspicionByRecords({
  now,
  newestRecord,
  lastActivity,
  lastSuspended,
  newestGood,
}: ClockFacts): string | undefined {
  const hasNewGood =
    lastSuspended !== undefined &&
    newestGood !== undefined &&
    newestGood > lastSuspended &&
    newestGood <= now;
  if (newestRecord !== undefined && now < newestRecord && !hasNewGood)
    return `the clock says ${rfc3339(now)}, which is earlier than the newest record (${rfc3339(newestRecord)})`;
  const activeMs = Math.max(
    lastActivity?.getTime() ?? -Infinity,
    hasNewGood ? newestGood.getTime() : -Infinity,
  );
  const silenceMs = now.getTime() - activeMs;
  if (Number.isFinite(silenceMs) && silenceMs > SILENCE_MS_MAX)
    return `the last recorded activity is ${spanText(silenceMs)} ago, and no storage tells the time`;
  if (lastSuspended !== undefined && !hasNewGood)
    return `the clock was suspect at ${rfc3339(lastSuspended)}, and no good backup has been made since`;
  return undefined;
}
