import { alertLock } from "../../alerts/lock-alerts.ts";
import { messageOf } from "../../base/errors.ts";
import { timeText } from "../../base/text/zoned-time.ts";
import type { BackupRecord, CopyRecord } from "../../catalog/records.ts";
import type { Job, LockConfig } from "../../config/config.ts";
import { keepIn } from "../../config/database/settings.ts";
import type { LockRules } from "../../retention/locks.ts";
import { newLockEnd } from "../../retention/locks.ts";
import { lockEndInForce, lockPlace } from "../../storage/immutability.ts";
import type { LockAnswer, ObjectLock, Storage } from "../../storage/storage.ts";
import type { JobContext } from "../context.ts";
import { storageTime } from "../storage-time.ts";
import { manifestKey } from "./object-key.ts";

type LockContext = Pick<
  JobContext,
  "catalog" | "clock" | "config" | "host" | "installation" | "log" | "signal" | "storages"
>;
type ClockContext = Pick<JobContext, "catalog" | "clock" | "config" | "host" | "signal" | "storages">;
type LockedBackup = Pick<BackupRecord, "id" | "object_key" | "started_at" | "server" | "database">;

/** The record of a lock. */
export type LockChange = Partial<
  Pick<CopyRecord, "locked_until" | "lock_mode" | "locked_checked_at" | "lock_error" | "lock_place">
>;

export interface LockResult {
  change: LockChange;
  /** Why the copy is not locked as the config asks; null if it is. */
  error: string | null;
  /** Whether that holds for every copy in this storage. */
  isEverywhere: boolean;
  /** The storage gave no answer about it. */
  isUnknown: boolean;
}

/**
 * The lock that a storage's settings want for a copy that is stored now; undefined: none, or the clock is in doubt. A lock
 * cannot be taken back, and `lockStoredCopy` records why there is none.
 */
export async function lockFor(
  context: ClockContext,
  storage: Storage,
  backup: Pick<BackupRecord, "started_at" | "server" | "database">,
): Promise<ObjectLock | undefined> {
  return (await lockNow(context, storage, backup))?.lock;
}

/** Undefined if the settings want no lock. `doubt`: why the clock is not trusted with one. */
async function lockNow(
  context: ClockContext,
  storage: Storage,
  { started_at, server, database }: Pick<BackupRecord, "started_at" | "server" | "database">,
): Promise<{ lock?: ObjectLock; doubt?: string } | undefined> {
  const { settings } = storage;
  const lock = settings.type === "s3" ? settings.lock : undefined;
  if (!lock) return undefined;
  const { now, doubt } = await storageTime(context, storage);
  if (doubt !== undefined) return { doubt: `${doubt}; no lock is made until the clock is right` };
  const { days } = keepIn(context.config, settings, server, database);
  const until = newLockEnd(lockRules(lock), days, new Date(started_at), now);
  return { lock: { mode: lock.mode, until } };
}

/** It protects the copy all the same, so there is no alert. */
const STAYS_WEAK = "it stays in governance mode: the storage has not changed it to compliance";

export function lockRules({ days, longer_than_retention }: LockConfig): LockRules {
  return { days, mayOutlast: longer_than_retention };
}

/**
 * Locks object and manifest of a copy, unless they are locked for longer, and reads back what the storage confirms.
 * Without `wanted` it only reads. Throws only if the job is stopped: a copy without a lock is a copy all the same.
 */
export async function lockCopy(
  { clock, signal }: Pick<JobContext, "clock" | "signal">,
  backup: LockedBackup,
  storage: Storage,
  wanted: ObjectLock | undefined,
): Promise<LockResult> {
  const answers: LockAnswer[] = [];
  try {
    for (const key of [backup.object_key, manifestKey(backup.object_key)])
      answers.push(await storage.lock(key, wanted, signal));
  } catch (error) {
    signal.throwIfAborted();
    // The lock itself may stand: its record stays.
    const change = wanted ? { lock_error: messageOf(error) } : {};
    return { change, error: messageOf(error), isEverywhere: false, isUnknown: true };
  }
  const first = answers.find(({ problem }) => problem !== undefined);
  const error = wanted ? (first?.problem ?? null) : null;
  const weakest = answers.some(({ lock }) => lock === undefined)
    ? undefined
    : answers.flatMap(({ lock }) => lock ?? []).sort((a, b) => a.until.getTime() - b.until.getTime())[0];
  const modes = answers.flatMap(({ lock }) => lock?.mode ?? []);
  const lock_mode = weakest ? (modes.includes("governance") ? ("governance" as const) : weakest.mode) : null;
  const isWeak = wanted?.mode === "compliance" && lock_mode === "governance";
  const change = {
    locked_until: weakest?.until.toISOString() ?? null,
    lock_mode,
    locked_checked_at: clock.now().toISOString(),
    lock_error: error ?? (isWeak ? STAYS_WEAK : null),
    lock_place: weakest ? lockPlace(storage.settings) : null,
  };
  return { change, error, isEverywhere: first?.isEverywhere === true, isUnknown: false };
}

/**
 * Locks a copy that has just been confirmed, if the config asks for that, and records the result. While the clock is in
 * doubt it only reads the lock; the next cleanup with a trusted clock makes it.
 */
export async function lockStoredCopy(
  context: LockContext,
  backup: LockedBackup,
  storage: Storage,
  job: Job,
): Promise<void> {
  const wanted = await lockNow(context, storage, backup);
  if (!wanted) return;
  const { lock, doubt } = wanted;
  const result = await lockCopy(context, backup, storage, lock);
  const error = doubt ?? result.error;
  await context.catalog.updateCopy(backup.id, storage.name, { ...result.change, lock_error: error });
  await alertLock(context, job, storage, error, [backup.id]);
}

/**
 * Reads the lock of a copy again, if pg321 locks copies there, and records it. A lock that ended before its time raises
 * the alert: somebody has the right to end it. The next cleanup locks the copy again.
 */
export async function readLockAgain(
  context: LockContext,
  backup: LockedBackup,
  storage: Storage,
  job: Job,
): Promise<void> {
  const { catalog, clock } = context;
  if (storage.settings.type !== "s3" || !storage.settings.lock) return;
  const before = (await catalog.copies(backup.id)).find((copy) => copy.storage === storage.name);
  const { change } = await lockCopy(context, backup, storage, undefined);
  const { locked_until: until } = change;
  if (!before || until === undefined) return;
  const promised = lockEndInForce(storage.settings, before);
  const isEnded = promised !== null && new Date(promised) > clock.now() && (until ?? "") < promised;
  const lock_error = isEnded
    ? `its lock was to last until ${timeText(promised)}, but the storage says ${until === null ? "that there is none" : timeText(until)}: somebody ended it`
    : before.lock_error;
  await catalog.updateCopy(backup.id, storage.name, { ...change, lock_error });
  if (isEnded) await alertLock(context, job, storage, lock_error, [backup.id]);
}
