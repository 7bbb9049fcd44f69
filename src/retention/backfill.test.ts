import { describe, expect, test } from "bun:test";
import { DAY_MS } from "../base/limits.ts";
import { Backfill, type BackfillCandidate, type BackfilledStorage } from "./backfill.ts";

const NOW = new Date("2026-11-23T12:00:00Z");
const DAY = (days: number) => new Date(NOW.getTime() - days * DAY_MS);

/** The ages in days, newest first, of the backups that a new storage gets. */
function filled(
  storage: Omit<BackfilledStorage, "name">,
  backups: (number | [days: number, change: Partial<BackfillCandidate>])[],
): number[] {
  const backfill = new Backfill({ now: NOW, timezone: "UTC", storages: [{ name: "new", ...storage }] });
  return backups.flatMap((one) => {
    const [days, change] = typeof one === "number" ? [one, {}] : one;
    const candidate: BackfillCandidate = {
      ...{ server: "main", database: "app", startedAt: DAY(days), isGood: true, isHeld: false },
      ...{ heldUntil: undefined, recorded: ["old"], confirmed: ["old"] },
      ...change,
    };
    return backfill.wanted(candidate).includes("new") ? [days] : [];
  });
}

const THERE = { recorded: ["new", "old"], confirmed: ["new", "old"] };

describe("backfill of a storage that was added later", () => {
  test("by default the last keep.days, whatever the counting rules", () => {
    expect(filled({ keep: { days: 7, monthly: 3 } }, [0, 3, 6.9, 7, 40])).toEqual([0, 3, 6.9]);
  });

  test('"all" is what the keep rules keep: nothing that the next cleanup would delete', () => {
    expect(filled({ keep: { days: 7 }, backfill: "all" }, [0, 3, 7, 7.1, 40])).toEqual([0, 3, 7]);
    const monthly = { keep: { days: 7, monthly: 3 }, backfill: "all" } as const;
    expect(filled(monthly, [0, 3, 10, 25, 40, 60, 70, 100])).toEqual([0, 3, 25, 60]);
    expect(filled({ keep: { days: 1, last: 2 }, backfill: "all" }, [0, 5, 6])).toEqual([0, 5]);
  });

  test("a hold keeps a copy, so it is filled; one that has ended does not", () => {
    const held = { isHeld: true };
    const ended = { isHeld: true, heldUntil: DAY(1) };
    expect(filled({ keep: { days: 7 }, backfill: "all" }, [0, [50, held], [60, ended]])).toEqual([0, 50]);
  });

  test('"newest" is the newest good backup of each database', () => {
    const storage = { keep: { days: 7 }, backfill: "newest" } as const;
    const shop = { database: "shop" };
    const bad = { isGood: false };
    expect(filled(storage, [[0, bad], 1, [2, shop], 3, [4, shop]])).toEqual([1, 2]);
    // It counts as the newest although this storage has it already.
    expect(filled(storage, [[0, THERE], 1])).toEqual([]);
  });

  test("an age limits it further", () => {
    const storage = { keep: { days: 30 }, backfill: { max_age_ms: 10 * DAY_MS } } as const;
    expect(filled(storage, [0, 9, 10, 11, 20])).toEqual([0, 9, 10]);
    const monthly = { keep: { days: 1, monthly: 12 }, backfill: { max_age_ms: 60 * DAY_MS } } as const;
    expect(filled(monthly, [0, 25, 56, 80])).toEqual([0, 25, 56]);
  });

  test("copies that are there use up the counting rules, and a recorded one is not filled again", () => {
    const storage = { keep: { days: 1, last: 2 }, backfill: "all" } as const;
    expect(filled(storage, [[0, THERE], [2, THERE], 3])).toEqual([]);
    const removed = { recorded: ["new", "old"] };
    expect(filled(storage, [[2, removed], 3, 4, 5])).toEqual([3, 4]);
  });

  test("a backup dated ahead of the clock is filled, but uses up no rule and is not the newest", () => {
    const storage = { keep: { days: 1, last: 1 }, backfill: "all" } as const;
    expect(filled(storage, [-30, 5, 6])).toEqual([-30, 5]);
    expect(filled({ keep: { days: 9 }, backfill: "newest" }, [-30, 5, 6])).toEqual([5]);
  });
});
