import { messageOf, Pg321Error } from "../../base/errors.ts";
import type { BackupRecord, CopyRecord } from "../../catalog/catalog.ts";
import type { StorageConfig } from "../../config/config.ts";
import { KeyTaken } from "../../storage/key.ts";
import { StorageRefused } from "../../storage/refused.ts";
import type { Storage } from "../../storage/storage.ts";
import type { Sink, SinkOutcome } from "../../stream/fan-out.ts";
import { fanOut, NoSinkLeftError } from "../../stream/fan-out.ts";
import type { JobContext } from "../context.ts";
import { backupStorages } from "../context.ts";
import { requireInPlace } from "../in-place.ts";
import type { ProgressMeter } from "../progress.ts";
import { recordDamage } from "./damage.ts";
import { removeIntended } from "./reconcile.ts";
import { copyObject, putManifest } from "./stored-object.ts";

/** A backup whose object is whole, and described by a manifest. */
export type StoredBackup = BackupRecord & { manifest: string };

/** Parts that the slowest storage may lag behind the source. */
export const PARTS_AHEAD = 6;

export interface StoreOptions {
  partBytes: number;
  signal: AbortSignal;
  progress: ProgressMeter;
}

/** Writes the intents: from here on a crash leaves nothing that the next run cannot settle. */
export async function intendCopies(context: JobContext, backup: BackupRecord): Promise<void> {
  for (const storage of backupStorages(context)) {
    await context.catalog.putCopy(intendedCopy(backup, storage));
  }
}

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
  };
}

/**
 * One read of the source into every storage. Resolves with each storage's outcome; see `fanOut`. Where the source fails
 * too, the storages that had failed by themselves before are recorded with their own reason.
 */
export async function storeEverywhere(
  context: JobContext,
  backup: BackupRecord,
  open: (signal: AbortSignal) => AsyncIterable<Uint8Array>,
  options: StoreOptions,
): Promise<SinkOutcome<unknown>[]> {
  const { config, clock } = context;
  const sinks = backupStorages(context).map((storage) =>
    sinkOf(context, storage, settingsOf(config.storage, storage), backup, options),
  );
  const outcomes: SinkOutcome<unknown>[] = [];
  const stored = fanOut(open, sinks, {
    partBytes: options.partBytes,
    partsAhead: PARTS_AHEAD,
    maxDurationMs: config.dump.max_duration_ms,
    progress: () => options.progress.share,
    onProgress: (name, bytes) => options.progress.storage(name, bytes),
    onOutcome: (outcome) => {
      outcomes.push(outcome);
      options.progress.outcome(outcome);
    },
    signal: options.signal,
    clock,
  });
  try {
    return await stored;
  } catch (error) {
    for (const outcome of outcomes) {
      const storage = backupStorages(context).find(({ name }) => name === outcome.name);
      const isOwn = outcome.state !== "stored" && outcome.error !== error;
      if (storage && isOwn && !(error instanceof NoSinkLeftError))
        await failCopy(context, backup, storage, outcome.error);
    }
    throw error;
  }
}

function sinkOf(
  context: JobContext,
  storage: Storage,
  settings: StorageConfig,
  backup: BackupRecord,
  { partBytes }: StoreOptions,
): Sink<unknown> {
  return {
    name: storage.name,
    minRate: settings.min_rate,
    stallTimeoutMs: settings.stall_timeout_ms,
    store: async (body, signal, onProgress) => {
      // The run may have begun long ago, and its first look may have had no answer.
      await requireInPlace(context, storage, signal);
      return storage.put(backup.object_key, body, {
        signal,
        partBytes,
        onProgress,
        onUpload: (uploadId) => recordUpload(context, backup, storage, uploadId),
      });
    },
  };
}

/** Never throws: without the record an upload that is interrupted is found by its key. */
async function recordUpload(
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

/**
 * Puts the manifest beside a stored object and confirms the copy. When the manifest cannot be written the copy does
 * not count, but its object stays, which is whole: the next run writes the manifest. Returns whether the copy is
 * confirmed.
 */
export async function confirmCopy(
  context: JobContext,
  backup: StoredBackup,
  storage: Storage,
  signal: AbortSignal,
): Promise<boolean> {
  const { catalog, clock, config, log } = context;
  const stallTimeoutMs = settingsOf(config.storage, storage).stall_timeout_ms;
  try {
    await putManifest(storage, backup.object_key, backup.manifest, { signal, clock, stallTimeoutMs });
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
  await catalog.updateCopy(backup.id, storage.name, {
    state: "CONFIRMED",
    upload_id: null,
    object_bytes: backup.object_bytes,
    confirmed_at: clock.now().toISOString(),
    error: null,
  });
  return true;
}

/** How long the tidying after a failed copy may take: the storage that failed is often the one that hangs. */
const TIDY_TIMEOUT_MS = 30_000;

/**
 * Records that a copy failed and removes what it may have left. When the storage does not answer now, the
 * intent stays and the next run removes it. Nothing is removed where the key was taken: what stands there is of
 * another operation, and `repair` looks at it.
 */
export async function failCopy(
  context: JobContext,
  backup: BackupRecord,
  storage: Storage,
  error: unknown,
): Promise<void> {
  const { catalog, log } = context;
  if (error instanceof KeyTaken) {
    const found = { state: "MISSING", upload_id: null, error: messageOf(error) } as const;
    return catalog.updateCopy(backup.id, storage.name, found);
  }
  // Nothing has reached the place, so nothing is to be tidied up there.
  if (error instanceof StorageRefused)
    return catalog.updateCopy(backup.id, storage.name, { state: "FAILED", error: error.message });
  const copy = (await catalog.copies(backup.id)).find((one) => one.storage === storage.name);
  let state: "FAILED" | "INTENDED" = "FAILED";
  try {
    const tidySignal = AbortSignal.timeout(TIDY_TIMEOUT_MS);
    if (copy) await removeIntended(storage, copy, tidySignal);
  } catch (tidyError) {
    state = "INTENDED";
    const fields = { storage: storage.name, backup_id: backup.id, error: messageOf(tidyError) };
    // What made the copy fail has been told: that it still does so is no news.
    if (fields.error !== messageOf(error))
      log.warning("a failed copy could not be tidied up; the next run does it", fields);
  }
  await catalog.updateCopy(backup.id, storage.name, {
    state,
    error: messageOf(error),
    ...(state === "FAILED" && { upload_id: null }),
  });
}

/**
 * Fills one storage with the object of another, as it is stored, and confirms it. Returns whether the copy
 * is confirmed; what went wrong is logged and recorded, and nothing is left in the storage. The key must
 * be free.
 */
export async function fillCopy(
  context: JobContext,
  backup: StoredBackup,
  { from, to }: { from: Storage; to: Storage },
  options: { partBytes: number; signal: AbortSignal; onProgress?: (bytes: number) => void },
): Promise<boolean> {
  const { catalog, clock, config, log } = context;
  const fields = { storage: to.name, from: from.name, backup_id: backup.id };
  log.info("filling a storage from a finished copy", fields);
  await catalog.updateCopy(backup.id, to.name, { state: "INTENDED", upload_id: null, error: null });
  try {
    await requireInPlace(context, to, options.signal);
    await copyObject(from, to, backup, {
      ...options,
      clock,
      stallTimeoutMs: settingsOf(config.storage, to).stall_timeout_ms,
      onUpload: (uploadId) => recordUpload(context, backup, to, uploadId),
    });
  } catch (error) {
    options.signal.throwIfAborted();
    log.warning("filling a storage failed; the next repair tries again", {
      ...fields,
      error: messageOf(error),
    });
    if (isOf(from, error)) await recordDamage(context, backup, from, error);
    await failCopy(context, backup, to, error);
    return false;
  }
  return confirmCopy(context, backup, to, options.signal);
}

/** Whether an error of a copying is the source's: damage is, since what is written is not read back. */
function isOf({ name }: Storage, error: unknown): boolean {
  if (!(error instanceof Pg321Error)) return false;
  return error.code === "verification" || error.message.startsWith(`storage "${name}": get `);
}

export function settingsOf(configs: readonly StorageConfig[], storage: Storage): StorageConfig {
  const settings = configs.find((config) => config.name === storage.name);
  if (!settings) throw new Pg321Error("usage", `no storage is named "${storage.name}"`);
  return settings;
}
