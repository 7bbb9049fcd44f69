import { expect, test } from "bun:test";
import { unlessAborted } from "./abort.ts";

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
