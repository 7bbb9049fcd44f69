import { deadline } from "../../base/abort.ts";
import { messageOf, Pg321Error } from "../../base/errors.ts";
import type { BackupRecord, CopyRecord } from "../../catalog/records.ts";
import { KeyTaken } from "../../storage/key.ts";
import { StorageRefused } from "../../storage/refused.ts";
import type { Storage } from "../../storage/storage.ts";
import type { JobContext } from "../context.ts";
import { requireInPlace } from "../in-place.ts";
import { timeShown } from "../storage-time.ts";
import { recordDamage } from "./damage.ts";
import { lockFor, lockStoredCopy } from "./locks.ts";
import { manifestKey } from "./object-key.ts";
import { discardUpload, removeObject } from "./removal.ts";
import { LockedInPlace, lockedRemains, refuseLocked, removeIntended } from "./remove-intended.ts";
import { copyObject, putManifest, readManifestText, readWhole } from "./stored-object.ts";

/** A backup whose object is complete and described by a manifest. */
export type StoredBackup = BackupRecord & { manifest: string };

export function intendedCopy(
  backup: Pick<BackupRecord, "id" | "object_key">,
  storage: Pick<Storage, "name">,
): CopyRecord {
  return {
    backup_id: backup.id,
    storage: storage.name,
    object_key: backup.object_key,
    state: "INTENDED",
    upload_id: null,
    object_bytes: null,
    confirmed_at: null,
    verified_at: null,
    error: null,
    locked_until: null,
    lock_mode: null,
    locked_checked_at: null,
    lock_error: null,
    lock_place: null,
  };
}

/**
 * Writes the manifest of a stored object and confirms the copy. If the manifest cannot be written, the copy does not
 * count, but its object is complete and stays: the next run writes the manifest. Returns whether the copy is
 * confirmed.
 */
export async function confirmCopy(
  context: JobContext,
  backup: StoredBackup,
  storage: Storage,
  signal: AbortSignal,
): Promise<boolean> {
  const { catalog, clock, log } = context;
  const stallTimeoutMs = storage.settings.stall_timeout_ms;
  try {
    const lock = await lockFor({ ...context, signal }, storage, backup);
    await putManifest(storage, backup.object_key, backup.manifest, {
      ...{ signal, clock, stallTimeoutMs, lock },
    }).catch(async (error) => {
      // A repair leaves the right manifest in place: it may be locked.
      if (!(error instanceof KeyTaken) || !(await hasManifest(storage, backup, signal))) throw error;
    });
  } catch (error) {
    signal.throwIfAborted();
    const message = messageOf(error);
    log.error("a manifest could not be written", {
      storage: storage.name,
      backup_id: backup.id,
      error: message,
    });
    await catalog.updateCopy(backup.id, storage.name, { state: "INTENDED", error: message });
    return false;
  }
  const now = clock.now();
  const stored = timeShown(clock, storage) ?? now;
  await catalog.updateCopy(backup.id, storage.name, {
    state: "CONFIRMED",
    upload_id: null,
    object_bytes: backup.object_bytes,
    // A rule of the bucket counts from then, by the clock of the storage.
    confirmed_at: (stored < now ? stored : now).toISOString(),
    error: null,
  });
  await lockStoredCopy({ ...context, signal }, backup, storage, "backup");
  return true;
}

/** Whether the recorded manifest stands beside the key of the object. */
export async function hasManifest(
  storage: Storage,
  backup: StoredBackup,
  signal: AbortSignal,
): Promise<boolean> {
  const text = await readManifestText(storage, backup.object_key, signal).catch((error) => {
    if (error instanceof Pg321Error && error.code === "verification") return undefined;
    throw error;
  });
  return text === backup.manifest;
}

/** Time limit for removing the remains of a failed copy: the storage that failed often hangs. */
const TIDY_TIMEOUT_MS = 30_000;

/**
 * Records that a copy failed and removes its remains. If the storage does not answer, the intent stays and the next run
 * removes them. Nothing is removed if the key was already taken: the object there belongs to another operation, and
 * `repair` checks it.
 */
export async function failCopy(
  context: JobContext,
  backup: BackupRecord,
  storage: Storage,
  error: unknown,
): Promise<void> {
  const { catalog, clock, log } = context;
  if (error instanceof KeyTaken) {
    const found = { state: "MISSING", upload_id: null, error: messageOf(error) } as const;
    return catalog.updateCopy(backup.id, storage.name, found);
  }
  // Nothing was written there, so there is nothing to remove.
  if (error instanceof StorageRefused)
    return catalog.updateCopy(backup.id, storage.name, { state: "FAILED", error: error.message });
  const copy = (await catalog.copies(backup.id)).find((one) => one.storage === storage.name);
  let state: "FAILED" | "INTENDED" = "FAILED";
  let remains: Partial<CopyRecord> = {};
  try {
    using time = deadline({ clock, durationMs: TIDY_TIMEOUT_MS });
    if (copy) await removeIntended(storage, copy, time.signal);
  } catch (tidyError) {
    state = "INTENDED";
    if (tidyError instanceof LockedInPlace) remains = lockedRemains(storage, tidyError);
    const fields = { storage: storage.name, backup_id: backup.id, error: messageOf(tidyError) };
    // The same error as that of the copy is already recorded.
    if (fields.error !== messageOf(error))
      log.warning("the remains of a failed copy could not be removed; the next run tries again", fields);
  }
  await catalog.updateCopy(backup.id, storage.name, {
    state,
    ...remains,
    error: messageOf(error),
    ...(state === "FAILED" && { upload_id: null }),
  });
}

/**
 * Copies the stored object from one storage to another and confirms the new copy. Returns whether it is confirmed; an
 * error is logged and recorded, and its remains are removed. The key must be free.
 */
export async function fillCopy(
  context: JobContext,
  backup: StoredBackup,
  { from, to }: { from: Storage; to: Storage },
  options: { partBytes: number; signal: AbortSignal; onProgress?: (bytes: number) => void },
): Promise<boolean> {
  const { catalog, clock, log } = context;
  const fields = { storage: to.name, from: from.name, backup_id: backup.id };
  log.info("filling a storage from a finished copy", fields);
  await catalog.updateCopy(backup.id, to.name, { state: "INTENDED", upload_id: null, error: null });
  let sourceError: Pg321Error | undefined;
  try {
    await requireInPlace(context, to, options.signal);
    await copyObject(from, to, backup, {
      ...options,
      clock,
      stallTimeoutMs: to.settings.stall_timeout_ms,
      lock: await lockFor({ ...context, signal: options.signal }, to, backup),
      onUpload: (uploadId) => recordUpload(context, backup, to, uploadId),
      onSourceError: (error) => {
        sourceError = error;
      },
    });
  } catch (error) {
    options.signal.throwIfAborted();
    log.warning("filling a storage failed; the next repair tries again", {
      ...fields,
      error: messageOf(error),
    });
    if (sourceError) await recordDamage(context, backup, from, sourceError);
    await failCopy(context, backup, to, error);
    return false;
  }
  return confirmCopy(context, backup, to, options.signal);
}

/**
 * Frees the key of a copy that is to be made again from `from`, then records the intent. Bytes under the key may be all
 * that is left of the backup, so they are removed only after the source was read completely and found good. Bytes that
 * cannot be seen (older versions under a delete marker) are left alone: they do not block the key, and may also be all
 * that is left. The intent is recorded after the removal, because `reconcile` confirms an intended copy with a good
 * manifest, and an object that cannot be removed may be damaged. Throws code `verification` if the source is damaged,
 * and records that; `LockedInPlace` if an object is locked, then the record stays as it is.
 */
export async function clearTheKey(
  context: JobContext,
  backup: StoredBackup,
  { from, to }: { from: Storage; to: Storage },
  signal: AbortSignal,
): Promise<void> {
  const { catalog } = context;
  const keys = [manifestKey(backup.object_key), backup.object_key];
  const copy = (await catalog.copies(backup.id)).find(({ storage }) => storage === to.name);
  const found = await Promise.all(keys.map((key) => to.head(key, signal)));
  // The right manifest stays: in a bucket with Object Lock it could not be removed, and need not be.
  const isRight = found[0] !== undefined && (await hasManifest(to, backup, signal));
  const standing = keys.filter((_, index) => found[index] !== undefined && !(index === 0 && isRight));
  if (standing.length > 0) {
    const by = await readWhole(from, backup, signal).catch(async (error) => {
      await recordDamage(context, backup, from, error);
      throw error;
    });
    for (const key of standing)
      refuseLocked(to, key, await removeObject(to, key, { why: "superseded", by }, signal));
  }
  for (const key of keys)
    await discardUpload(to, key, key === backup.object_key ? (copy?.upload_id ?? null) : null, signal);
  await catalog.putCopy(intendedCopy(backup, to));
}

/**
 * Records the id of a multipart upload. Never throws: without the record, an interrupted upload is found by its key.
 */
export async function recordUpload(
  { catalog, log }: Pick<JobContext, "catalog" | "log">,
  backup: BackupRecord,
  storage: Storage,
  upload_id: string,
): Promise<void> {
  try {
    await catalog.updateCopy(backup.id, storage.name, { upload_id });
  } catch (error) {
    const fields = { storage: storage.name, backup_id: backup.id, error: messageOf(error) };
    log.warning("the id of an upload could not be recorded", fields);
  }
}
