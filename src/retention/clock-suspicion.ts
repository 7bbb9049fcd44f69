import { rfc3339 } from "../base/clock.ts";
import { HOUR_MS } from "../base/limits.ts";
import { isAhead } from "../base/newest-good.ts";
import { spanText } from "./spans.ts";

export interface ClockFacts {
  now: Date;
  /** The `Date` headers of this run's S3 replies, each with this host's time when it came. */
  s3Dates: readonly { storage: string; date: Date; receivedAt: Date }[];
  /** This host's time when its clock was last trusted: because of an S3 storage, by these rules, or by a person. */
  trustedAt?: Date | undefined;
  /** The newest backup dated ahead of the clock, unless a person has accepted that. */
  ahead?: { id: string; server: string; database: string; startedAt: Date } | undefined;
  /**
   * The end of the continuous records: they begin at `trustedAt`, or at the first record, and end at the last one
   * not separated from the previous by more than `silenceMsMax`. Undefined if nothing is recorded.
   */
  reachesTo?: Date | undefined;
  /** The longest time without records, in milliseconds. */
  silenceMsMax: number;
}

const SKEW_MS_MAX = HOUR_MS;

/**
 * Why this host's clock must not be trusted with deletions, in one sentence; undefined if it can be. A clock that
 * runs ahead makes every backup too old at once. S3 knows the time; without it the records must do, and of these
 * only those from before a gap, because later ones have their dates from the same clock. So a suspicion ends with
 * the time of an S3 storage or with a person's confirmation, and each sentence says how.
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
  trustedAt,
  ahead,
  reachesTo,
  silenceMsMax,
}: ClockFacts): string | undefined {
  const time = rfc3339(now);
  if (ahead !== undefined) {
    const id = ahead.id.slice(0, 8);
    const backup = `backup ${id} of ${ahead.server}/${ahead.database}`;
    return `${backup} is dated ${rfc3339(ahead.startedAt)}, in the future (now: ${time}): if the clock is right, cleanup --confirm accepts that date permanently, or pg321 delete ${id} removes the backup`;
  }
  if (trustedAt !== undefined && isAhead(trustedAt, now))
    return `the clock says ${time}, but it was last trusted at ${rfc3339(trustedAt)}, in the future: if it is right now, cleanup --confirm ends this suspicion`;
  if (reachesTo === undefined) return undefined;
  const silenceMs = now.getTime() - reachesTo.getTime();
  if (silenceMs <= silenceMsMax) return undefined;
  return `nothing is recorded for more than ${spanText(silenceMsMax)} after ${rfc3339(reachesTo)} (now: ${time}), and no storage reports the time: if the clock is right, cleanup --confirm ends this suspicion`;
}
