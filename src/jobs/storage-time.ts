import { MINUTE_MS } from "../base/limits.ts";
import { clockSuspicion } from "../retention/clock-suspicion.ts";
import type { Storage } from "../storage/storage.ts";
import { clockFacts } from "./clock-facts.ts";
import type { JobContext } from "./context.ts";

type ClockContext = Pick<JobContext, "catalog" | "clock" | "config" | "host" | "signal" | "storages">;

/** A reply of a storage shows the time for this long: the clock may jump after it. */
const REPLY_MS_MAX = MINUTE_MS;

export interface StorageTime {
  /** By the clock of the storage's server, else of another storage; by this host's if none reports the time. */
  now: Date;
  /** Whether a storage has reported it. */
  isReported: boolean;
  /** Why this host's clock must not be trusted, by the rule of cleanup; undefined if it can be. */
  doubt?: string;
}

/** The time of a storage, by which its locks and rules end. Asks the storage if no reply has just shown it. */
export async function storageTime(context: ClockContext, storage: Storage): Promise<StorageTime> {
  const { clock, signal } = context;
  if (skewOf(clock, storage) === undefined)
    await storage.head("clock", signal).catch(() => signal.throwIfAborted());
  const received = clock.now();
  const now = timeShown(clock, storage);
  if (now === undefined) {
    const facts = await clockFacts(context, clock.monotonicMs() - REPLY_MS_MAX);
    const doubt = clockSuspicion(facts);
    const [other] = facts.s3Dates;
    return {
      now: other?.date ?? received,
      isReported: other !== undefined,
      ...(doubt !== undefined && { doubt }),
    };
  }
  const s3Dates = [{ storage: storage.name, date: now, receivedAt: received }];
  const doubt = clockSuspicion({ now: received, s3Dates, silenceMsMax: 0 });
  return { now, isReported: true, ...(doubt !== undefined && { doubt }) };
}

/** The time of a storage as its last replies have shown it; undefined if they have not. */
export function timeShown(clock: JobContext["clock"], storage: Storage): Date | undefined {
  const skewMs = skewOf(clock, storage);
  return skewMs === undefined ? undefined : new Date(clock.now().getTime() - skewMs);
}

function skewOf(clock: JobContext["clock"], storage: Storage): number | undefined {
  return storage.clockSkewMs(clock.monotonicMs() - REPLY_MS_MAX);
}
