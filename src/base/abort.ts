import type { Clock } from "./clock.ts";

/** Settles as `promise` does, unless the signal aborts first: then it rejects with the signal's reason. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    // Signals live as long as the daemon: a listener that stayed would keep this promise alive as long.
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

/**
 * Settles as `promise` does, unless it still has not `graceMs` after the signal aborted: then it rejects
 * with the signal's reason, after telling `onLeft`, and leaves the promise to itself. For what ends by the
 * signal in its own way, but may hang in the system, which nothing ends.
 */
export function unlessHung<T>(
  promise: Promise<T>,
  signal: AbortSignal,
  graceMs: number,
  onLeft: () => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    const leave = () => {
      onLeft();
      reject(signal.reason);
    };
    const onAbort = () => {
      timer = setTimeout(leave, graceMs);
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => {
      signal.removeEventListener("abort", onAbort);
      clearTimeout(timer);
    });
  });
}

/**
 * Settles as `promise` does, unless the signal aborts or `durationMs` passes first: then it rejects with the
 * signal's reason, or with what `late` makes, and leaves the promise to itself.
 */
export async function unlessLate<T>(
  promise: Promise<T>,
  { clock, durationMs, signal }: { clock: Clock; durationMs: number; signal?: AbortSignal },
  late: () => Error,
): Promise<T> {
  const done = new AbortController();
  const tooLate = new AbortController();
  clock.sleep(durationMs, done.signal).then(
    () => tooLate.abort(late()),
    () => {},
  );
  const signals = signal ? [signal, tooLate.signal] : [tooLate.signal];
  return unlessAborted(promise, AbortSignal.any(signals)).finally(() => done.abort());
}
