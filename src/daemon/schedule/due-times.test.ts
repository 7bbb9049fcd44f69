import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { HOUR_MS } from "../../base/limits.ts";
import { DueTimes } from "./due-times.ts";

const BERLIN = { timezone: "Europe/Berlin", jitterMs: 0, seed: "s" };

/** All due times in a range, found one after the other. */
function walk(times: DueTimes, after: Date, until: Date): Date[] {
  const found: Date[] = [];
  for (let due = times.after(after); due !== undefined && due <= until; due = times.after(due))
    found.push(due);
  return found;
}

describe("the nights in which the clock changes", () => {
  const dueIn = (pattern: string, from: string, until: string) =>
    walk(new DueTimes(pattern, BERLIN), new Date(from), new Date(until)).map((due) => due.toISOString());

  test("a time in the skipped hour is due once, right after it", () => {
    expect(dueIn("30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z")).toEqual([
      "2026-03-29T01:00:00.000Z",
      "2026-03-30T00:30:00.000Z",
    ]);
  });

  test("a time in the repeated hour is due once, in the first of the two hours", () => {
    expect(dueIn("30 2 * * *", "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z")).toEqual([
      "2026-10-25T00:30:00.000Z",
      "2026-10-26T01:30:00.000Z",
    ]);
  });

  test("an hourly pattern is due every hour", () => {
    for (const night of ["2026-03-28T22:30:00Z", "2026-10-24T22:30:00Z"]) {
      const until = new Date(Date.parse(night) + 6 * HOUR_MS).toISOString();
      const times = dueIn("0 * * * *", night, until).map(Date.parse);
      expect(times).toHaveLength(6);
      expect(times.slice(1).map((time, index) => time - (times[index] ?? 0))).toEqual(Array(5).fill(HOUR_MS));
    }
  });
});

const patterns = fc.constantFrom(
  ...["* * * * * *", "*/7 * * * * *", "0 2 * * *", "30 2 * * *", "0 * * * *", "*/15 * * * *"],
  ...["59 59 23 * * *", "0 6 * * 0", "0 0 1 * *", "0 3 29 2 *", "@daily", "30 2,3 * 3,10 *"],
);
/** Times to the millisecond, mostly around the nights in which the clock changes. */
const moments = fc
  .tuple(
    fc.constantFrom("2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z", "2026-12-31T23:00:00Z"),
    fc.integer(),
  )
  .map(([around, shift]) => new Date(Date.parse(around) + (shift % (30 * HOUR_MS))));

test("the newest due time in a range is the last one of a linear search", () => {
  fc.assert(
    fc.property(patterns, moments, fc.integer({ min: 0, max: HOUR_MS }), (pattern, after, lengthMs) => {
      const times = new DueTimes(pattern, BERLIN);
      const until = new Date(after.getTime() + lengthMs);
      expect(times.newest(after, until)).toEqual(walk(times, after, until).at(-1));
    }),
    { numRuns: 100 },
  );
});

describe("jitter", () => {
  const times = (seed: string, jitterMs: number, pattern = "0 * * * *") =>
    new DueTimes(pattern, { timezone: "UTC", jitterMs, seed });
  const due = (hour: number) => new Date(Date.UTC(2026, 10, 23, hour));

  test("is always the same for one time, differs between hosts and times, and stays within its limit", () => {
    const one = times("host 1 backup", 600_000);
    const delay = (of: DueTimes, hour: number) => of.beginOf(due(hour)).getTime() - due(hour).getTime();
    expect(delay(one, 1)).toBe(delay(times("host 1 backup", 600_000), 1));
    const delays = Array.from({ length: 24 }, (_, hour) => delay(one, hour));
    expect(new Set(delays).size).toBeGreaterThan(20);
    for (const delayMs of delays) expect(delayMs).toBeWithin(0, 600_000);
    expect(delays).not.toEqual(
      Array.from({ length: 24 }, (_, hour) => delay(times("host 2 backup", 600_000), hour)),
    );
  });

  test("moves no run past the next due time, however large it is", () => {
    const large = times("seed", 100 * HOUR_MS);
    for (let hour = 0; hour < 24; hour++) {
      expect(large.beginOf(due(hour)).getTime()).toBeLessThan(due(hour + 1).getTime());
    }
  });

  test("while the run of a due time has not started, the due time before it is the newest", () => {
    const late = times("seed", 30 * 60_000);
    const begin = late.beginOf(due(5));
    const before = new Date(begin.getTime() - 1);
    expect(late.newestBegun(due(3), begin)).toEqual(due(5));
    expect(late.newestBegun(due(3), before)).toEqual(due(4));
    expect(late.newestBegun(due(4), before)).toBeUndefined();
  });
});
