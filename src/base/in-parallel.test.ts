import { expect, test } from "bun:test";
import { setImmediate } from "node:timers/promises";
import { inParallel } from "./in-parallel.ts";

test("each item is taken once, and one that fails stops its worker but is thrown last", async () => {
  const taken: number[] = [];
  const result = inParallel([1, 2, 3, 4, 5], 2, async (item) => {
    taken.push(item);
    await Promise.resolve();
    if (item === 2) throw new Error("item 2");
  });
  await expect(result).rejects.toThrow("item 2");
  expect(taken).toEqual([1, 2, 3, 4, 5]);
});

test("an error is thrown only after the other workers have ended their items", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const ended: string[] = [];
  const result = inParallel(["fails", "is slow"], 2, async (item) => {
    if (item === "fails") throw new Error("stopped");
    await promise;
    ended.push(item);
  }).catch((error: Error) => ended.push(error.message));
  // The failed worker has ended by now.
  await setImmediate();
  expect(ended).toEqual([]);
  resolve();
  await result;
  expect(ended).toEqual(["is slow", "stopped"]);
});
