/** The only place that reads the clock. All other code is given a `Clock`, so that tests can move time. */
export interface Clock {
  /** Wall time. */
  now(): Date;
  /** A time that never goes back, in milliseconds; for durations and deadlines. */
  monotonicMs(): number;
  /** Resolves after `delayMs` (at once if that is negative), or rejects with the signal's reason. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

/** With a longer delay the runtime's timer fires at once. */
const TIMER_MS_MAX = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => new Date(),
  monotonicMs: () => performance.now(),
  async sleep(delayMs, signal) {
    // The time may have passed since the delay was reckoned, and for a negative one the runtime prints a warning.
    let leftMs = Math.max(0, delayMs);
    // A monthly schedule waits longer than one timer can.
    for (; leftMs > TIMER_MS_MAX; leftMs -= TIMER_MS_MAX) await timer(TIMER_MS_MAX, signal);
    await timer(leftMs, signal);
  },
};

function timer(delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const onAbort = () => {
      clearTimeout(handle);
      reject(signal?.reason);
    };
    const handle = setTimeout(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    }, delayMs);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/** RFC 3339 in UTC with whole seconds, as records and output show it: `2026-11-23T00:25:00Z`. */
export function rfc3339(date: Date): string {
  return `${date.toISOString().slice(0, 19)}Z`;
}

/** Milliseconds from `at` (RFC 3339) to `now`. Never negative, even if the clock was set back. */
export function ageMs(at: string, now: Date): number {
  return Math.max(0, now.getTime() - Date.parse(at));
}

/** Milliseconds from start to end, never negative; null while it has not ended. */
export function durationMs({
  started_at,
  finished_at,
}: {
  started_at: string;
  finished_at: string | null;
}): number | null {
  return finished_at === null ? null : ageMs(started_at, new Date(finished_at));
}
