import type { Clock } from "../../base/clock.ts";
import type { JobProgress, ProgressListener } from "../../jobs/progress.ts";

/** A piece of work at the moment at which it is shown. */
export interface Work {
  progress: JobProgress;
  elapsedMs: number;
  /** Bytes (or objects) per millisecond, of the last seconds. */
  ratePerMs: number;
}

/** The rate is that of so much time: long enough not to jump, short enough to follow a storage that becomes slow. */
const RATE_MS = 15_000;
/** Before this the rate is not worth a guess. */
const GUESS_AFTER_MS = 3_000;

interface UnderWay {
  startedAtMs: number;
  progress: JobProgress;
  /** Bytes at earlier moments, the oldest first; one of them may be older than `RATE_MS`. */
  samples: { atMs: number; bytes: number }[];
}

/**
 * Calls `show` every `intervalMs` with the work in progress, even if nothing has changed: stalled work is what people
 * look for. Finished work disappears with the next call, or at once if it was the last. `onEnd` gets each finished work.
 */
export function shownEvery(
  intervalMs: number,
  clock: Clock,
  show: (works: Work[]) => void,
  {
    onStart = () => {},
    onEnd = () => {},
  }: { onStart?: (work: Work) => void; onEnd?: (work: Work) => void } = {},
): ProgressListener {
  const underWay = new Map<string, UnderWay>();
  let ticking: AbortController | undefined;
  const tick = async (signal: AbortSignal) => {
    for (;;) {
      await clock.sleep(intervalMs, signal);
      show([...underWay.values()].map((work) => measured(work, clock.monotonicMs())));
    }
  };
  return {
    update(progress) {
      const known = underWay.get(progress.title);
      if (known) known.progress = progress;
      else {
        const startedAtMs = clock.monotonicMs();
        const samples = [{ atMs: startedAtMs, bytes: 0 }];
        underWay.set(progress.title, { startedAtMs, progress, samples });
        onStart({ progress, elapsedMs: 0, ratePerMs: 0 });
      }
      if (ticking) return;
      ticking = new AbortController();
      tick(ticking.signal).catch(() => {});
    },
    end(title) {
      const ended = underWay.get(title);
      underWay.delete(title);
      if (ended) onEnd(measured(ended, clock.monotonicMs()));
      if (underWay.size > 0) return;
      ticking?.abort();
      ticking = undefined;
      show([]);
    },
  };
}

/** Takes a sample, and forgets those that the rate no longer needs. */
function measured({ startedAtMs, progress, samples }: UnderWay, nowMs: number): Work {
  samples.push({ atMs: nowMs, bytes: progress.bytes });
  // Few databases end within seconds, so that only the whole time says how fast they do.
  while (progress.unit !== "databases" && samples.length > 2 && (samples[1]?.atMs ?? 0) <= nowMs - RATE_MS)
    samples.shift();
  const { atMs, bytes } = samples[0] ?? { atMs: nowMs, bytes: 0 };
  const ratePerMs = nowMs > atMs ? (progress.bytes - bytes) / (nowMs - atMs) : 0;
  return { progress, elapsedMs: nowMs - startedAtMs, ratePerMs };
}

/** Whether the expected size may be wrong. */
export function isEstimate({ expectedFrom }: JobProgress): boolean {
  return expectedFrom === "last_backup" || expectedFrom === "database_size";
}

/** The share that is done, 0 to 1; undefined if nothing is expected. */
export function shareOf({ bytes, expectedBytes }: JobProgress): number | undefined {
  return expectedBytes ? Math.min(1, bytes / expectedBytes) : undefined;
}

/** How long the rest takes at the rate of the last seconds; undefined if that cannot be guessed. */
export function timeLeftMs({
  progress: { bytes, expectedBytes = 0 },
  elapsedMs,
  ratePerMs,
}: Work): number | undefined {
  if (elapsedMs < GUESS_AFTER_MS || ratePerMs <= 0 || bytes >= expectedBytes) return undefined;
  return (expectedBytes - bytes) / ratePerMs;
}
