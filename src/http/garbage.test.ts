import { expect, spyOn, test } from "bun:test";
import { ManualClock } from "../../test/lab/manual-clock.ts";
import { MIB } from "../base/limits.ts";
import { AnswerGarbage } from "./garbage.ts";

test("collects after a MiB of answers, but at most once in five seconds", async () => {
  const clock = new ManualClock();
  const garbage = new AnswerGarbage(clock);
  using collect = spyOn(Bun, "gc");
  garbage.left(MIB - 1);
  expect(collect).toHaveBeenCalledTimes(0);
  garbage.left(1);
  expect(collect).toHaveBeenCalledTimes(1);
  for (let count = 0; count < 20; count++) garbage.left(MIB);
  await clock.advance(4_999);
  garbage.left(MIB);
  expect(collect).toHaveBeenCalledTimes(1);
  await clock.advance(1);
  garbage.left(0);
  expect(collect).toHaveBeenCalledTimes(2);
  await clock.advance(5_000);
  garbage.left(MIB - 1);
  expect(collect).toHaveBeenCalledTimes(2);
  garbage.left(1);
  expect(collect).toHaveBeenCalledTimes(3);
  // Garbage that piles up quickly does not wait.
  for (let count = 0; count < 64; count++) garbage.left(MIB);
  expect(collect).toHaveBeenCalledTimes(4);
});
