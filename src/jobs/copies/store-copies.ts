import type { BackupRecord } from "../../catalog/records.ts";
import type { Storage } from "../../storage/storage.ts";
import type { Sink, SinkOutcome } from "../../stream/fan-out.ts";
import { fanOut, NoSinkLeftError } from "../../stream/fan-out.ts";
import type { JobContext } from "../context.ts";
import { requireInPlace } from "../in-place.ts";
import type { ProgressMeter } from "../progress.ts";
import { backupStorages } from "../storages.ts";
import { failCopy, intendedCopy, recordUpload } from "./steps.ts";

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
  const sinks = backupStorages(context).map((storage) => sinkOf(context, storage, backup, options));
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
  backup: BackupRecord,
  { partBytes }: StoreOptions,
): Sink<unknown> {
  return {
    name: storage.name,
    minRate: storage.settings.min_rate_bytes_per_second,
    stallTimeoutMs: storage.settings.stall_timeout_ms,
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
