import { resolveAlert } from "../../alerts/alert.ts";
import { alertLock, LOCK_KEY } from "../../alerts/lock-alerts.ts";
import type { CopyRecord } from "../../catalog/records.ts";
import { lockEndBy } from "../../retention/locks.ts";
import { RefusedStorage } from "../../storage/refused.ts";
import type { Storage } from "../../storage/storage.ts";
import type { JobContext } from "../context.ts";
import { type LockChange, lockCopy, lockRules } from "../copies/locks.ts";
import { storageTime } from "../storage-time.ts";
import { storageNamed } from "../storages.ts";
import type { ExpiringCopies, LockRenewal } from "./expiring-copies.ts";
import type { CleanupTally } from "./report.ts";

/** After this many calls in a row without an answer, a storage is skipped for the rest of the run. */
const SILENT_MAX = 3;

/**
 * Locks copies until the planned ends. It goes on after a failure of one copy, and leaves a storage in which no copy can
 * be locked after the first.
 */
export async function renewLocks(
  context: JobContext,
  renewals: ExpiringCopies["locks"],
  tally: CleanupTally,
): Promise<void> {
  for (const [name, list] of renewals) {
    const storage = storageNamed(context, name);
    if (storage) await renewIn(context, storage, list, tally);
  }
  await endAlerts(context);
}

async function renewIn(
  context: JobContext,
  storage: Storage,
  renewals: AsyncIterable<LockRenewal>,
  tally: CleanupTally,
): Promise<void> {
  const { catalog, log, signal } = context;
  const lock = storage.settings.type === "s3" ? storage.settings.lock : undefined;
  // A storage that takes no part in the run has an alert of its own.
  if (!lock || storage instanceof RefusedStorage) return;
  let silent = 0;
  let error: string | null = null;
  /** Copies that are locked as planned; `renewed` are those whose lock has changed for that. */
  let kept = 0;
  let renewed = 0;
  const time = await storageTime(context, storage);
  for await (const { backupId, until: plannedUntil } of renewals) {
    signal.throwIfAborted();
    const planned = new Date(plannedUntil);
    const copy = await confirmedIn(context, backupId, storage);
    const backup = copy && (await catalog.backup(backupId));
    if (!copy || !backup) continue;
    // A person has confirmed a plan by a clock that contradicts the storage's, by which locks end.
    const isDoubted = time.doubt !== undefined && time.isReported;
    const until = isDoubted ? lockEndBy(time.now, lockRules(lock), planned) : planned;
    if (until === undefined) {
      error ??= `${time.doubt}; no lock is made until the clock is right`;
      continue;
    }
    const result = await lockCopy(context, backup, storage, { mode: lock.mode, until });
    await catalog.updateCopy(backupId, storage.name, result.change);
    if (result.error === null) {
      kept++;
      if (isOther(copy, result.change)) renewed++;
      silent = 0;
      continue;
    }
    error ??= result.error;
    if (result.isUnknown) tally.fail(storage.name, backup.object_key, `not locked: ${result.error}`);
    if (result.isEverywhere || (result.isUnknown && ++silent >= SILENT_MAX)) break;
  }
  tally.statistics.locks_renewed += renewed;
  if (renewed > 0) log.info("locks of copies were renewed", { storage: storage.name, copies: renewed });
  if (error !== null) tally.note(storage.name, "", `not locked: ${error}`);
  if (error !== null || kept > 0) await alertLock(context, "cleanup", storage, error);
}

/** The copy, if it is still good in this storage. */
async function confirmedIn(
  { catalog }: JobContext,
  backupId: string,
  { name }: Storage,
): Promise<CopyRecord | undefined> {
  const copy = (await catalog.copies(backupId)).find(({ storage }) => storage === name);
  return copy?.state === "CONFIRMED" ? copy : undefined;
}

function isOther(before: CopyRecord, now: LockChange): boolean {
  return (["locked_until", "lock_mode", "lock_place"] as const).some((field) => before[field] !== now[field]);
}

/** Resolves the alerts about storages from which the config no longer wants locks. */
async function endAlerts(context: JobContext): Promise<void> {
  const locking = context.config.storage.flatMap((one) => (one.type === "s3" && one.lock ? one.name : []));
  for (const { key } of await context.catalog.alerts({ open: true })) {
    const name = key.startsWith(LOCK_KEY) ? key.slice(LOCK_KEY.length) : undefined;
    if (name !== undefined && !locking.includes(name))
      await resolveAlert(context, key, `the config no longer wants locks in storage "${name}"`);
  }
}
