import { rfc3339 } from "../base/clock.ts";
import { HOUR_MS } from "../base/limits.ts";
import { isAhead } from "../base/newest-good.ts";
import { spanText } from "./spans.ts";

export interface ClockFacts {
  now: Date;
  /** The `Date` headers of S3 replies of this run, each beside this host's time when it came. */
  s3Dates: readonly { storage: string; date: Date; receivedAt: Date }[];
  /** This host's time when it was last trusted: by an S3 storage, by these rules, or by a person. */
  trustedAt?: Date | undefined;
  /** The newest backup that is dated ahead, unless a person has accepted that. */
  ahead?: { id: string; server: string; database: string; startedAt: Date } | undefined;
  /**
   * How far the records reach that hang together: from `trustedAt`, or from the first one, to the last one that
   * `silenceMsMax` does not part from those before it. Undefined where nothing is recorded.
   */
  reachesTo?: Date | undefined;
  /** How long nothing may be recorded, in milliseconds. */
  silenceMsMax: number;
}

const SKEW_MS_MAX = HOUR_MS;

/**
 * Why this host's clock is not to be trusted with deletions, in one sentence; undefined when it is. A clock
 * that runs ahead makes every backup too old at once. S3 knows the time; without it the records have to do, and
 * of these only what was there before a gap: what is recorded after it has its date from the same clock. So a
 * suspicion ends with an S3 storage's time or with a person's word, and each sentence names that.
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
    return `${backup} is dated ${rfc3339(ahead.startedAt)}, which is yet to come (it is ${time}): if the clock is right now, cleanup --confirm accepts that date for good, or pg321 delete ${id} removes it`;
  }
  if (trustedAt !== undefined && isAhead(trustedAt, now))
    return `the clock says ${time}, and it was trusted at ${rfc3339(trustedAt)}, which is yet to come: if it is right now, cleanup --confirm ends this for good`;
  if (reachesTo === undefined) return undefined;
  const silenceMs = now.getTime() - reachesTo.getTime();
  if (silenceMs <= silenceMsMax) return undefined;
  return `nothing is recorded for more than ${spanText(silenceMsMax)} after ${rfc3339(reachesTo)} (it is ${time}), and no storage tells the time: if the clock is right, cleanup --confirm ends this for good`;
}
