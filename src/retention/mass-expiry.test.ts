import { describe, expect, test } from "bun:test";
import {
  asked,
  backup,
  daysAgo,
  decisionOf,
  expired,
  input,
  LOCAL,
  NOW,
  planRetention,
  R2,
} from "../../test/fixtures/retention.ts";
import type { RetainedBackup } from "./facts.ts";

/**
 * This many backups of a database that are too old for the disk, and this many that are not; all with good copies
 * in the cloud.
 */
function some(old: number, young: number, database = "app"): RetainedBackup[] {
  return [
    ...Array.from({ length: old }, (_, n) => daysAgo(40 + n)),
    ...Array.from({ length: young }, (_, n) => daysAgo(n)),
  ].map((startedAt, n) => backup(`${database}-${n}`, startedAt, ["local", "r2"], { database }));
}
const plan = (backups: RetainedBackup[], confirmedPlanHash?: string) =>
  planRetention(input(backups, { confirmedPlanHash }));

describe("a database's copies in a storage", () => {
  test.each([
    ["4 of 4 go: too few to stop at", 4, 0, 4],
    ["5 of 10 go: not more than half", 5, 5, 5],
    ["5 of 9 wait", 5, 4, 0],
    ["6 of 10 wait", 6, 4, 0],
  ])("%s", (_, old, young, gone) => {
    const { suspended, ...rest } = plan(some(old, young));
    expect(expired({ suspended, ...rest })).toHaveLength(gone);
    expect(suspended).toHaveLength(gone === 0 ? 1 : 0);
  });

  test("the stop counts the waiting copies, and each copy has the reason", () => {
    const stopped = plan(some(5, 4));
    expect(stopped.suspended).toEqual([
      {
        kind: "database",
        storage: "local",
        server: "main",
        database: "app",
        copies: 5,
        reason: '5 of 9 copies of main/app in storage "local" would expire at once',
      },
    ]);
    expect(decisionOf(stopped, "app-0 local")).toMatchObject({
      action: "keep",
      isSuspended: true,
      reliesOn: [],
      reason:
        'older than 30 days (40 d), and no other rule keeps it, but it waits for a confirmation: 5 of 9 copies of main/app in storage "local" would expire at once',
    });
  });

  test("the stop affects only these copies", () => {
    const backups = [...some(5, 4), ...some(2, 9, "shop")];
    const { suspended, ...rest } = plan(backups);
    expect(suspended).toHaveLength(1);
    expect(expired({ suspended, ...rest })).toEqual(["shop-0 local", "shop-1 local"]);
  });

  test("damaged copies do not hide that all sound ones expire", () => {
    const copies = [{ storage: "local", isConfirmed: false, bytes: 1 }];
    const damaged = Array.from({ length: 9 }, (_, n) => backup(`damaged-${n}`, daysAgo(n), [], { copies }));
    const sound = Array.from({ length: 6 }, (_, n) => backup(`sound-${n}`, daysAgo(40 + n), ["local", "r2"]));
    expect(plan([...damaged, ...sound]).suspended).toMatchObject([
      { reason: '6 of 6 confirmed copies of main/app in storage "local" would expire at once' },
    ]);
  });
});

describe("a storage's copies", () => {
  /** One old backup in each of many databases, so that no database has a stop by itself. */
  const many = (old: number, young: number) =>
    Array.from({ length: old + young }, (_, n) => some(n < old ? 1 : 0, n < old ? 0 : 1, `d${n}`)).flat();

  test.each([
    ["10 of 10 go: too few to stop at", 10, 0, 10],
    ["11 of 22 go: not more than half", 11, 11, 11],
    ["11 of 21 wait", 11, 10, 0],
  ])("%s", (_, old, young, gone) => {
    const { suspended, ...rest } = plan(many(old, young));
    expect(expired({ suspended, ...rest })).toHaveLength(gone);
    expect(suspended).toEqual(
      gone > 0
        ? []
        : [
            {
              kind: "storage",
              storage: "local",
              copies: 11,
              reason: '11 of 21 copies in storage "local" would expire at once',
            },
          ],
    );
  });
});

describe("the plan's hash", () => {
  const backups = some(6, 4);
  const stopped = plan(backups);

  test("confirms exactly this plan", () => {
    expect(stopped.planHash).toMatch(/^[0-9a-f]{16}$/);
    const confirmed = plan(backups, stopped.planHash);
    expect(confirmed.suspended).toEqual([]);
    expect(expired(confirmed)).toEqual(asked(stopped));
    expect(confirmed.planHash).toBe(stopped.planHash);
  });

  test("is the same in any order, and a moment later", () => {
    expect(plan(backups.toReversed()).planHash).toBe(stopped.planHash);
    const later = input(backups, { now: new Date(NOW.getTime() + 600_000) });
    expect(planRetention(later).planHash).toBe(stopped.planHash);
  });

  test("is the same if only more is kept", () => {
    expect(plan([...backups, backup("new", NOW)]).planHash).toBe(stopped.planHash);
  });

  test("is different if anything else would expire, and then nothing is confirmed", () => {
    for (const changed of [backups.slice(1), [...backups, backup("more", daysAgo(50), ["local", "r2"])]]) {
      const other = plan(changed, stopped.planHash);
      expect(other.planHash).not.toBe(stopped.planHash);
      expect(expired(other)).toEqual([]);
    }
  });

  test("does not confirm a stop that is new", () => {
    const before = plan(some(2, 9));
    const { planHash, ...rest } = planRetention(
      input(some(2, 9), { clockSuspicion: "the clock jumps", confirmedPlanHash: before.planHash }),
    );
    expect(planHash).not.toBe(before.planHash);
    expect(expired({ planHash, ...rest })).toEqual([]);
  });
});

describe("a clock that is suspect", () => {
  const clockSuspicion = "the clock jumps";

  test("stops everything until it is confirmed", () => {
    const backups = some(2, 9);
    const stopped = planRetention(input(backups, { clockSuspicion }));
    expect(stopped.suspended).toEqual([{ kind: "clock", copies: 2, reason: clockSuspicion }]);
    expect(decisionOf(stopped, "app-0 local").reason).toEndWith(
      "but it waits for a confirmation: the clock jumps",
    );
    const confirmed = planRetention(input(backups, { clockSuspicion, confirmedPlanHash: stopped.planHash }));
    expect(expired(confirmed)).toEqual(["app-0 local", "app-1 local"]);
  });

  test("stops nothing if nothing would expire", () => {
    expect(planRetention(input(some(0, 3), { clockSuspicion })).suspended).toEqual([]);
  });
});

test("the last copy of a guarded backup is kept before anything is counted", () => {
  const storages = [LOCAL, { ...R2, keep: { days: 30 } }];
  const stopped = planRetention(input(some(6, 0), { storages }));
  const confirmed = planRetention(input(some(6, 0), { storages, confirmedPlanHash: stopped.planHash }));
  expect(expired(confirmed)).not.toContain("app-0 r2");
  expect(decisionOf(confirmed, "app-0 local").reliesOn).toEqual(["r2"]);
});
