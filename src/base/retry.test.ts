import { expect, test } from "bun:test";
import { ManualClock } from "../../test/lab/manual-clock.ts";
import { retry } from "./retry.ts";

const POLICY = { attempts: 4, delayMs: 100, delayMsMax: 250 };

/** An operation that fails a given number of times, and the time of each attempt. */
function failing(times: number, clock: ManualClock) {
  const tries: number[] = [];
  const operation = async (attempt: number) => {
    tries.push(clock.monotonicMs());
    if (attempt <= times) throw new Error(`try ${attempt}`);
    return "done";
  };
  return { tries, operation };
}

test("tries again after pauses that double up to their bound, each at least half of it", async () => {
  const clock = new ManualClock();
  const { tries, operation } = failing(3, clock);
  const retried: number[] = [];
  const options = {
    clock,
    isRetryable: () => true,
    onRetry: (_: unknown, attempt: number) => retried.push(attempt),
  };
  expect(await clock.advanceUntil(retry(POLICY, options, operation), 1)).toBe("done");
  expect(retried).toEqual([1, 2, 3]);
  const pauses = tries.slice(1).map((at, index) => at - (tries[index] as number));
  for (const [index, ceiling] of [100, 200, 250].entries()) {
    expect(pauses[index]).toBeGreaterThanOrEqual(ceiling / 2);
    expect(pauses[index]).toBeLessThanOrEqual(ceiling);
  }
});

test("gives up with the last error after all attempts", async () => {
  const clock = new ManualClock();
  const { tries, operation } = failing(99, clock);
  await expect(
    clock.advanceUntil(retry(POLICY, { clock, isRetryable: () => true }, operation)),
  ).rejects.toThrow("try 4");
  expect(tries).toHaveLength(4);
});

test("an error that is not retryable is thrown at once", async () => {
  const clock = new ManualClock();
  const { tries, operation } = failing(99, clock);
  await expect(retry(POLICY, { clock, isRetryable: () => false }, operation)).rejects.toThrow("try 1");
  expect(tries).toHaveLength(1);
});

test("an abort before an attempt or during a pause throws its reason", async () => {
  const clock = new ManualClock();
  const abort = new AbortController();
  const { tries, operation } = failing(99, clock);
  const options = { clock, signal: abort.signal, isRetryable: () => true };
  const waiting = retry(POLICY, options, operation);
  await clock.advance(1);
  abort.abort(new Error("enough"));
  await expect(waiting).rejects.toThrow("enough");
  await expect(retry(POLICY, options, operation)).rejects.toThrow("enough");
  expect(tries).toHaveLength(1);
});
