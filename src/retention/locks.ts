import { DAY_MS, HOUR_MS } from "../base/limits.ts";

/** How a storage locks copies. */
export interface LockRules {
  days: number;
  /** Whether a lock may end later than the retention of its copy. */
  mayOutlast: boolean;
}

/** A lock is not extended by less than this: the request costs as much as for a month. */
const STEP_MS = HOUR_MS;

/** The end of the lock of a copy that is stored now: at the end of its `keep.days` at the latest. */
export function newLockEnd(lock: LockRules, keepDays: number, startedAt: Date, now: Date): Date {
  return earliest(fullEnd(lock, now), lock.mayOutlast ? undefined : keepEndOf(keepDays, startedAt, now));
}

export interface LockedCopy {
  startedAt: Date;
  /** The end of its lock, as recorded; undefined: not locked. */
  lockedUntil: Date | undefined;
  /** Whether its mode should become compliance. */
  isWeak: boolean;
  /** Until when the backup is certainly kept beyond `keep.days`: a hold has an end, a keep rule has none that is known. */
  keptUntil: Date | "unknown" | undefined;
}

/**
 * Until when a kept copy should be locked from now on; undefined if its lock lasts beyond `horizonMs`, when the next
 * cleanup has certainly run, or if it must not last longer, and is as strict as wanted.
 */
export function renewedLockEnd(
  lock: LockRules,
  keepDays: number,
  { startedAt, lockedUntil, isWeak, keptUntil }: LockedCopy,
  { now, horizonMs }: { now: Date; horizonMs: number },
): Date | undefined {
  const lockedMs = Math.max(lockedUntil?.getTime() ?? 0, now.getTime());
  // A weak lock is raised for as long as it lasts anyway; not if that is longer than the config asks.
  const asItIs =
    isWeak && lockedMs > now.getTime() && lockedMs <= fullEnd(lock, now).getTime() ? lockedUntil : undefined;
  if (lockedUntil !== undefined && lockedMs >= now.getTime() + horizonMs) return asItIs;
  let end = fullEnd(lock, now);
  if (!lock.mayOutlast && keptUntil !== "unknown") {
    const keepEnd = startedAt.getTime() + keepDays * DAY_MS;
    end = earliest(end, new Date(Math.max(keepEnd, keptUntil?.getTime() ?? 0)));
  }
  return end.getTime() - lockedMs >= STEP_MS ? end : asItIs;
}

/**
 * The end of a lock as planned by this host's clock, if that differs from the storage's, by which locks end: never longer
 * than the config asks. Undefined if no lock is left of it.
 */
export function lockEndBy(storageNow: Date, lock: LockRules, planned: Date): Date | undefined {
  const end = earliest(planned, fullEnd(lock, storageNow));
  return end.getTime() - storageNow.getTime() >= STEP_MS ? end : undefined;
}

function fullEnd({ days }: LockRules, now: Date): Date {
  return new Date(now.getTime() + days * DAY_MS);
}

/** Undefined if it is over: then another rule keeps the backup, and it is not known for how long. */
function keepEndOf(keepDays: number, startedAt: Date, now: Date): Date | undefined {
  const end = new Date(startedAt.getTime() + keepDays * DAY_MS);
  return end > now ? end : undefined;
}

function earliest(one: Date, other: Date | undefined): Date {
  return other !== undefined && other < one ? other : one;
}
