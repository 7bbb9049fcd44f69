import { expect, test } from "bun:test";
import { ManualClock } from "../../test/lab/manual-clock.ts";
import { unlessAborted, unlessHung, unlessLate } from "./abort.ts";

const never = new Promise<never>(() => {});

test("settles as the promise does", async () => {
  const { signal } = new AbortController();
  expect(await unlessAborted(Promise.resolve(5), signal)).toBe(5);
  await expect(unlessAborted(Promise.reject(new Error("no")), signal)).rejects.toThrow("no");
});

test("rejects with the signal's reason, also when it had aborted before", async () => {
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

test("what ends soon after an abort is waited for, what hangs is left behind and told", async () => {
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

test("a promise that takes too long is left, and no timer stays", async () => {
  const clock = new ManualClock();
  const stop = new AbortController();
  const limits = { clock, durationMs: 1_000, signal: stop.signal };
  const late = () => new Error("too late");
  expect(await unlessLate(Promise.resolve(5), limits, late)).toBe(5);
  await expect(unlessLate(Promise.reject(new Error("no")), limits, late)).rejects.toThrow("no");
  expect(clock.sleeping).toBe(0);
  const told = unlessLate(never, limits, late).catch((error: Error) => error.message);
  await clock.advance(999);
  expect(clock.sleeping).toBe(1);
  await clock.advance(1);
  expect(await told).toBe("too late");
  const stopped = unlessLate(never, limits, late);
  stop.abort(new Error("enough"));
  await expect(stopped).rejects.toThrow("enough");
  expect(clock.sleeping).toBe(0);
});
