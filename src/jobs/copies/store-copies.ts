import type { BackupRecord } from "../../catalog/records.ts";
import type { Storage } from "../../storage/storage.ts";
import type { Sink, SinkOutcome } from "../../stream/fan-out.ts";
import { fanOut, NoSinkLeftError } from "../../stream/fan-out.ts";
import type { JobContext } from "../context.ts";
import { requireInPlace } from "../in-place.ts";
import type { ProgressMeter } from "../progress.ts";
import { backupStorages } from "../storages.ts";
import { lockFor } from "./locks.ts";
import { failCopy, intendedCopy, recordUpload } from "./steps.ts";

/** How many parts the slowest storage may lag behind the source. */
export const PARTS_AHEAD = 6;

export interface StoreOptions {
  partBytes: number;
  signal: AbortSignal;
  progress: ProgressMeter;
}

/** Records the intents: after this, the next run can clean up whatever a crash leaves. */
export async function intendCopies(context: JobContext, backup: BackupRecord): Promise<void> {
  const copies = backupStorages(context, backup).map((storage) => intendedCopy(backup, storage));
  await context.catalog.putCopies(copies);
}

/**
 * Reads the source once and writes it to every storage. Resolves with each storage's outcome; see `fanOut`. If the source
 * fails, storages that had failed before are recorded with their own error.
 */
export async function storeEverywhere(
  context: JobContext,
  backup: BackupRecord,
  open: (signal: AbortSignal) => AsyncIterable<Uint8Array>,
  options: StoreOptions,
): Promise<SinkOutcome<unknown>[]> {
  const { config, clock } = context;
  const sinks = backupStorages(context, backup).map((storage) => sinkOf(context, storage, backup, options));
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
      const storage = backupStorages(context, backup).find(({ name }) => name === outcome.name);
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
  backup: BackupRecord,
  { partBytes }: StoreOptions,
): Sink<unknown> {
  return {
    name: storage.name,
    minRate: storage.settings.min_rate_bytes_per_second,
    stallTimeoutMs: storage.settings.stall_timeout_ms,
    store: async (body, signal, onProgress, onPause) => {
      // The run may have begun long ago, or the storage may not have answered the first check.
      await requireInPlace(context, storage, signal);
      return storage.put(backup.object_key, body, {
        signal,
        lock: await lockFor({ ...context, signal }, storage, backup),
        partBytes,
        onProgress,
        ...(onPause && { onPause }),
        onUpload: (uploadId) => recordUpload(context, backup, storage, uploadId),
      });
    },
  };
}
