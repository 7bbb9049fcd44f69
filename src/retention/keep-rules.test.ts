import { describe, expect, test } from "bun:test";
import {
  asked,
  B2,
  backup,
  daysAgo,
  decisionOf,
  input,
  LOCAL,
  NOW,
  planRetention,
  R2,
} from "../../test/fixtures/retention.ts";
import type { KeepRules, RetainedBackup } from "./facts.ts";

/** Only the keep rules apply: no database is ever stale. */
const guard = { staleAfterMs: () => Number.POSITIVE_INFINITY, keep: 1 };

/** The backups on one disk that are kept under these rules. */
function kept(backups: readonly RetainedBackup[], keep: KeepRules, timezone = "UTC", now = NOW): string[] {
  const plan = planRetention(input(backups, { storages: [{ ...LOCAL, keep }], timezone, now, guard }));
  const gone = new Set(asked(plan));
  return backups.map(({ id }) => id).filter((id) => !gone.has(`${id} local`));
}
const at = (id: string, startedAt: string) => backup(id, new Date(startedAt), ["local"]);
/** A backup each day at 04:00 UTC, `day-1` yesterday. */
const daily = (count: number) =>
  Array.from({ length: count }, (_, n) => backup(`day-${n + 1}`, daysAgo(n + 1), ["local"]));

describe("keep.days", () => {
  const newer = backup("newer", daysAgo(0), ["local"]);

  test.each([
    ["a millisecond younger than", 1, "keep"],
    ["exactly as old as", 0, "keep"],
    ["a millisecond older than", -1, "expire"],
  ])("a copy %s its days", (_, youngerMs, action) => {
    const old = backup("old", new Date(daysAgo(30).getTime() + youngerMs), ["local"]);
    expect(decisionOf(planRetention(input([old, newer])), "old local").action).toBe(action as "keep");
  });

  test("have 24 hours, also across a change of the clocks", () => {
    // Berlin's clocks went back on 2026-10-25: by the wall clock this backup is exactly 30 days old.
    const old = backup("old", new Date("2026-10-24T04:00:00Z"), ["local"]);
    expect(
      decisionOf(planRetention(input([old, newer], { timezone: "Europe/Berlin" })), "old local"),
    ).toMatchObject({
      action: "expire",
      reason: "older than 30 days (30 d 1 h), and no other rule keeps it",
    });
  });

  test("each storage has its own", () => {
    const old = backup("old", daysAgo(100));
    const short = { ...B2, keep: { days: 99 } };
    const plan = planRetention(input([old, backup("new", NOW)], { storages: [LOCAL, R2, short] }));
    expect(asked(plan)).toEqual(["old b2", "old local"]);
  });

  test("a younger copy is kept whatever the counts", () => {
    expect(kept(daily(5), { days: 10, last: 1 })).toHaveLength(5);
  });
});

describe("counting rules", () => {
  test("last counts backups", () => {
    expect(kept(daily(9), { days: 1, last: 3 })).toEqual(["day-1", "day-2", "day-3"]);
  });

  test("daily keeps the newest of each day, and counts only days that have one", () => {
    const backups = [
      at("today", "2026-11-23T01:00:00Z"),
      at("monday-noon", "2026-11-16T12:00:00Z"),
      at("monday-dawn", "2026-11-16T05:00:00Z"),
      at("friday-night", "2026-11-13T23:59:59Z"),
      at("friday-noon", "2026-11-13T12:00:00Z"),
      at("thursday", "2026-11-12T12:00:00Z"),
    ];
    expect(kept(backups, { days: 1, daily: 3 })).toEqual(["today", "monday-noon", "friday-night"]);
    // By Tokyo's clocks Friday's last hours belong to Saturday.
    expect(kept(backups, { days: 1, daily: 4 }, "Asia/Tokyo")).toEqual([
      "today",
      "monday-noon",
      "friday-night",
      "friday-noon",
    ]);
  });

  test("weekly keeps the newest of each ISO week, also across the turn of a year", () => {
    const backups = [
      at("monday", "2027-01-04T02:00:00Z"),
      at("sunday", "2027-01-03T02:00:00Z"),
      at("new-year", "2027-01-01T02:00:00Z"),
      at("old-year", "2026-12-31T02:00:00Z"),
      at("week-52", "2026-12-27T02:00:00Z"),
    ];
    const now = new Date("2027-02-01T00:00:00Z");
    expect(kept(backups, { days: 1, weekly: 3 }, "UTC", now)).toEqual(["monday", "sunday", "week-52"]);
  });

  test("monthly and yearly keep the newest of each", () => {
    const backups = [
      "2026-11-20",
      "2026-11-01",
      "2026-10-31",
      "2026-10-01",
      "2025-12-31",
      "2025-01-01",
      "2024-06-01",
    ].map((day) => at(day, `${day}T12:00:00Z`));
    expect(kept(backups, { days: 1, monthly: 3 })).toEqual(["2026-11-20", "2026-10-31", "2025-12-31"]);
    expect(kept(backups, { days: 1, yearly: 2 })).toEqual(["2026-11-20", "2025-12-31"]);
  });

  test("days of 25 and of 23 hours count as one day each", () => {
    // Berlin: 2026-10-25 lasts from 22:00 UTC to 23:00 UTC.
    const backups = [
      at("next", "2026-10-25T23:00:00Z"),
      at("last-hour", "2026-10-25T22:59:59Z"),
      at("second-two", "2026-10-25T01:30:00Z"),
      at("first-two", "2026-10-25T00:30:00Z"),
      at("midnight", "2026-10-24T22:00:00Z"),
      at("eve", "2026-10-24T21:59:59Z"),
      at("spring", "2026-03-29T21:59:59Z"),
      at("spring-midnight", "2026-03-28T23:00:00Z"),
      at("spring-eve", "2026-03-28T22:59:59Z"),
    ];
    expect(kept(backups, { days: 1, daily: 9 }, "Europe/Berlin")).toEqual([
      "next",
      "last-hour",
      "eve",
      "spring",
      "spring-eve",
    ]);
  });

  test("rules add up, and the reason is that of the first that applies", () => {
    const backups = daily(40);
    const rules = { days: 1, last: 2, daily: 3, weekly: 2, monthly: 2, yearly: 1 };
    expect(kept(backups, rules)).toEqual(["day-1", "day-2", "day-3", "day-8", "day-23"]);
    const plan = planRetention(input(backups, { storages: [{ ...LOCAL, keep: rules }] }));
    expect(["day-2", "day-3", "day-8", "day-23"].map((id) => decisionOf(plan, `${id} local`).reason)).toEqual(
      [
        "older than 1 day (2 d), but keep.last = 2, and it is one of the newest here",
        "older than 1 day (3 d), but keep.daily = 3, and it is the newest here of the day 2026-11-20",
        "older than 1 day (8 d), but keep.weekly = 2, and it is the newest here of the week 2026-W46",
        "older than 1 day (23 d), but keep.monthly = 2, and it is the newest here of the month 2026-10",
      ],
    );
  });

  test("count only good backups with a copy confirmed in that storage, separately for each database", () => {
    const backups = [
      backup("elsewhere", daysAgo(10), ["r2"]),
      backup("unconfirmed", daysAgo(11), [], {
        copies: [
          { storage: "local", isConfirmed: false, bytes: 1 },
          { storage: "r2", isConfirmed: true, bytes: 1 },
        ],
      }),
      backup("bad", daysAgo(12), ["local"], { isGood: false }),
      backup("counted", daysAgo(13), ["local"]),
      backup("next", daysAgo(14), ["local"]),
      backup("other", daysAgo(50), ["local"], { database: "other" }),
    ];
    const keep = { days: 1, last: 1 };
    const plan = planRetention(input(backups, { storages: [{ ...LOCAL, keep }, R2] }));
    expect(asked(plan)).toEqual(["unconfirmed local", "bad local", "next local"]);
    expect(decisionOf(plan, "other local").reason).toContain("keep.last = 1");
  });
});
