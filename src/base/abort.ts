import type { Clock } from "./clock.ts";

/**
 * Settles as `promise` does, unless the signal aborts first: then it rejects with the signal's reason, and
 * `onLate` gets the value if the promise resolves later.
 */
export function unlessAborted<T>(
  promise: Promise<T>,
  signal: AbortSignal,
  onLate: (value: T) => void = () => {},
): Promise<T> {
  return new Promise((resolve, reject) => {
    let isAborted = false;
    const onAbort = () => {
      isAborted = true;
      reject(signal.reason);
    };
    if (signal.aborted) onAbort();
    // Some signals live as long as the daemon: a remaining listener would keep this promise alive that long.
    else signal.addEventListener("abort", onAbort, { once: true });
    const onValue = (value: T) => (isAborted ? onLate(value) : resolve(value));
    promise.then(onValue, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

/**
 * Settles as `promise` does. If it has not settled `graceMs` after the signal aborted, calls `onLeft`, rejects with the
 * signal's reason and abandons the promise. For work that reacts to the signal itself, but may hang in a system call,
 * which nothing can end.
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

export interface TimeLimit {
  clock: Clock;
  durationMs: number;
  /** Ends the work before the time is up. */
  signal?: AbortSignal | undefined;
}

/** A time limit for work that a signal ends. It runs until it is disposed of. */
export interface Deadline extends Disposable {
  /** Aborts with the error of `late` when the time is up, or with the reason of the given signal. */
  readonly signal: AbortSignal;
}

export function deadline({ clock, durationMs, signal }: TimeLimit, late: () => Error = timedOut): Deadline {
  const over = new AbortController();
  const done = new AbortController();
  clock.sleep(durationMs, done.signal).then(
    () => over.abort(late()),
    () => {},
  );
  return {
    signal: signal ? AbortSignal.any([signal, over.signal]) : over.signal,
    [Symbol.dispose]: () => done.abort(),
  };
}

/**
 * A deadline that begins when the given signal aborts: for work that may go on for a moment after a stop. It never aborts
 * if that signal does not.
 */
export function deadlineAfter(
  signal: AbortSignal,
  { clock, durationMs }: Pick<TimeLimit, "clock" | "durationMs">,
  late: () => Error = timedOut,
): Deadline {
  const over = new AbortController();
  const done = new AbortController();
  const begin = () => {
    clock.sleep(durationMs, done.signal).then(
      () => over.abort(late()),
      () => {},
    );
  };
  if (signal.aborted) begin();
  else signal.addEventListener("abort", begin, { once: true, signal: done.signal });
  return { signal: over.signal, [Symbol.dispose]: () => done.abort() };
}

/** The error of `AbortSignal.timeout`. */
function timedOut(): Error {
  return new DOMException("The operation timed out.", "TimeoutError");
}

/**
 * Settles as `promise` does, unless the deadline comes first: then it rejects with the deadline's reason and abandons the
 * promise. For work that takes no signal.
 */
export async function unlessLate<T>(promise: Promise<T>, limit: TimeLimit, late: () => Error): Promise<T> {
  using time = deadline(limit, late);
  return await unlessAborted(promise, time.signal);
}

/** Resolves when `promise` does, but after the time at the latest. Rejects as the promise does. */
export async function waitAtMost(promise: Promise<unknown>, limit: Omit<TimeLimit, "signal">): Promise<void> {
  using time = deadline(limit);
  await unlessAborted(promise, time.signal).catch((error) => {
    if (!time.signal.aborted) throw error;
  });
}
