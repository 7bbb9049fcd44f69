import { expect, test } from "bun:test";
import { ManualClock } from "../../test/lab/manual-clock.ts";
import { deadline, deadlineAfter, unlessAborted, unlessHung, unlessLate, waitAtMost } from "./abort.ts";

const never = new Promise<never>(() => {});

test("settles as the promise does", async () => {
  const { signal } = new AbortController();
  expect(await unlessAborted(Promise.resolve(5), signal)).toBe(5);
  await expect(unlessAborted(Promise.reject(new Error("no")), signal)).rejects.toThrow("no");
});

test("rejects with the signal's reason, even if it was already aborted", async () => {
  const abort = new AbortController();
  const reason = new Error("enough");
  const waiting = unlessAborted(never, abort.signal);
  abort.abort(reason);
  await expect(waiting).rejects.toBe(reason);
  await expect(unlessAborted(never, abort.signal)).rejects.toBe(reason);
});

test("a promise that rejects after the abort is not unhandled, and no listener stays", async () => {
  const abort = new AbortController();
  let listeners = 0;
  const { signal } = abort;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...all: Parameters<typeof add>) => {
    listeners++;
    add(...all);
  };
  signal.removeEventListener = (...all: Parameters<typeof remove>) => {
    listeners--;
    remove(...all);
  };
  await unlessAborted(Promise.resolve(), signal);
  await Promise.resolve();
  expect(listeners).toBe(0);
  const late = Promise.withResolvers<void>();
  const waiting = unlessAborted(late.promise, signal);
  abort.abort(new Error("enough"));
  await expect(waiting).rejects.toThrow("enough");
  late.reject(new Error("too late"));
  await late.promise.catch(() => {});
});

test("onLate gets a value that comes after the abort, not one before it", async () => {
  const abort = new AbortController();
  const late: number[] = [];
  const onLate = (value: number) => void late.push(value);
  expect(await unlessAborted(Promise.resolve(1), abort.signal, onLate)).toBe(1);
  const { promise, resolve } = Promise.withResolvers<number>();
  const waiting = unlessAborted(promise, abort.signal, onLate);
  abort.abort(new Error("enough"));
  await expect(waiting).rejects.toThrow("enough");
  await expect(unlessAborted(Promise.resolve(2), abort.signal, onLate)).rejects.toThrow("enough");
  resolve(3);
  await promise;
  expect(late).toEqual([2, 3]);
});

test("work that ends soon after an abort is awaited, hanging work is abandoned and reported", async () => {
  const abort = new AbortController();
  let left = 0;
  const onLeft = () => void left++;
  const ending = unlessHung(Promise.withResolvers<string>().promise, abort.signal, 0, onLeft);
  const late = Promise.withResolvers<string>();
  const waiting = unlessHung(late.promise, abort.signal, 60_000, onLeft);
  const reason = new Error("enough");
  abort.abort(reason);
  await expect(ending).rejects.toBe(reason);
  expect(left).toBe(1);
  late.resolve("done");
  expect(await waiting).toBe("done");
  expect(left).toBe(1);
});

test("a promise that takes too long is abandoned, and no timer stays", async () => {
  const clock = new ManualClock();
  const stop = new AbortController();
  const limits = { clock, durationMs: 1_000, signal: stop.signal };
  const late = () => new Error("too late");
  expect(await unlessLate(Promise.resolve(5), limits, late)).toBe(5);
  await expect(unlessLate(Promise.reject(new Error("no")), limits, late)).rejects.toThrow("no");
  expect(clock.sleeping).toBe(0);
  const outcome = unlessLate(never, limits, late).catch((error: Error) => error.message);
  await clock.advance(999);
  expect(clock.sleeping).toBe(1);
  await clock.advance(1);
  expect(await outcome).toBe("too late");
  const stopped = unlessLate(never, limits, late);
  stop.abort(new Error("enough"));
  await expect(stopped).rejects.toThrow("enough");
  expect(clock.sleeping).toBe(0);
});

test("a deadline aborts its signal in time, with its own error or the reason of the given signal", async () => {
  const clock = new ManualClock();
  const stop = new AbortController();
  const limit = { clock, durationMs: 1_000 };
  using late = deadline(limit, () => new Error("too late"));
  using plain = deadline(limit);
  using stopped = deadline({ ...limit, signal: stop.signal });
  stop.abort(new Error("enough"));
  expect(stopped.signal.reason).toEqual(new Error("enough"));
  await clock.advance(999);
  expect(late.signal.aborted).toBe(false);
  await clock.advance(1);
  expect(late.signal.reason).toEqual(new Error("too late"));
  expect(plain.signal.reason).toMatchObject({ name: "TimeoutError", message: "The operation timed out." });
});

test("a deadline that is disposed of never comes, and no timer stays", async () => {
  const clock = new ManualClock();
  const time = deadline({ clock, durationMs: 1_000 });
  time[Symbol.dispose]();
  expect(clock.sleeping).toBe(0);
  await clock.advance(1_000);
  expect(time.signal.aborted).toBe(false);
});

test("a wait ends with the promise or with the time, and no timer stays", async () => {
  const clock = new ManualClock();
  const limit = { clock, durationMs: 1_000 };
  await waitAtMost(Promise.resolve(), limit);
  await expect(waitAtMost(Promise.reject(new Error("no")), limit)).rejects.toThrow("no");
  expect(clock.sleeping).toBe(0);
  let isOver = false;
  const waiting = waitAtMost(never, limit).then(() => {
    isOver = true;
  });
  await clock.advance(999);
  expect(isOver).toBe(false);
  await clock.advance(1);
  await waiting;
  expect(clock.sleeping).toBe(0);
});

test("a deadline after a signal begins with its abort, and ends with its disposal", async () => {
  const clock = new ManualClock();
  const stop = new AbortController();
  const limit = { clock, durationMs: 10 };
  using early = deadlineAfter(stop.signal, limit, () => new Error("late"));
  {
    using _disposed = deadlineAfter(stop.signal, limit);
  }
  await clock.advance(100);
  expect(clock.sleeping).toBe(0);
  stop.abort();
  using begun = deadlineAfter(stop.signal, limit);
  expect(clock.sleeping).toBe(2);
  await clock.advance(9);
  expect([early.signal.aborted, begun.signal.aborted]).toEqual([false, false]);
  await clock.advance(1);
  expect([early.signal.reason.message, begun.signal.aborted]).toEqual(["late", true]);
});
