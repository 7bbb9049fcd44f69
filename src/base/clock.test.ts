import { expect, test } from "bun:test";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { ManualClock } from "../../test/lab/manual-clock.ts";
import { rfc3339, systemClock } from "./clock.ts";

test("sleeps at least as long as asked, in monotonic time", async () => {
  const before = systemClock.monotonicMs();
  await systemClock.sleep(5);
  expect(systemClock.monotonicMs() - before).toBeGreaterThan(3.9);
});

test("an abort ends a sleep with its reason, even one before the sleep", async () => {
  const abort = new AbortController();
  const sleeping = systemClock.sleep(1_000_000, abort.signal);
  abort.abort(new Error("wake up"));
  await expect(sleeping).rejects.toThrow("wake up");
  await expect(systemClock.sleep(0, abort.signal)).rejects.toThrow("wake up");
});

test("a sleep of several months does not end at once", async () => {
  const abort = new AbortController();
  let isOver = false;
  const sleeping = systemClock.sleep(90 * 86_400_000, abort.signal).then(() => {
    isOver = true;
  });
  await systemClock.sleep(10);
  expect(isOver).toBe(false);
  abort.abort(new Error("wake up"));
  await expect(sleeping).rejects.toThrow("wake up");
});

test("a sleep until a time that has passed prints no warning among a command's output", async () => {
  const script = `import { systemClock } from ${JSON.stringify(join(import.meta.dir, "clock.ts"))}; await systemClock.sleep(-0.5);`;
  const child = Bun.spawn([process.execPath, "-e", script], { stderr: "pipe" });
  expect(await child.stderr.text()).toBe("");
  expect(await child.exited).toBe(0);
});

test("times are shown in UTC with whole seconds", () => {
  expect(rfc3339(new Date("2026-11-23T01:25:00.999+01:00"))).toBe("2026-11-23T00:25:00Z");
});

test("the test clock wakes sleepers in the order of their times, including those that sleep again", async () => {
  const clock = new ManualClock();
  const woken: string[] = [];
  const sleeper = async (name: string, ...delays: number[]) => {
    for (const delay of delays) {
      await clock.sleep(delay);
      woken.push(`${name}@${clock.monotonicMs()}`);
    }
  };
  const sleepers = [sleeper("late", 30), sleeper("twice", 10, 10), sleeper("never", 1_000)];
  await clock.advance(30);
  expect(woken).toEqual(["twice@10", "twice@20", "late@30"]);
  expect(clock.now().toISOString()).toBe("2026-11-23T00:00:00.030Z");
  expect(clock.sleeping).toBe(1);
  await clock.advanceUntil(Promise.all(sleepers));
  await setImmediate();
  expect(woken.at(-1)).toBe("never@1000");
});
