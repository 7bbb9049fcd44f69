import { describe, expect, test } from "bun:test";
import {
  B2,
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
import { DAY_MS } from "../base/limits.ts";
import type { RetainedBackup } from "./facts.ts";

describe("the reference report's settings", () => {
  test("a single backup of 35 days: the local copy expires, relying on the clouds", () => {
    const plan = planRetention(input([backup("one", daysAgo(35))]));
    expect(expired(plan)).toEqual(["one local"]);
    expect(
      plan.decisions.map(({ storage, action, reason, guard, reliesOn }) => [
        storage,
        action,
        reason,
        guard,
        reliesOn,
      ]),
    ).toEqual([
      ["b2", "keep", "not older than 365 days (35 d)", undefined, []],
      [
        "local",
        "expire",
        "older than 30 days (35 d), and no other rule keeps it; the backup stays in b2, r2",
        undefined,
        ["b2", "r2"],
      ],
      ["r2", "keep", "not older than 365 days (35 d)", undefined, []],
    ]);
    expect(plan.newestGood).toEqual([
      { server: "main", database: "app", backupId: "one", storages: ["b2", "r2"] },
    ]);
  });

  const year = ["b2", "r2"];

  test("a backup of 400 days with a newer good one expires in both clouds", () => {
    const plan = planRetention(input([backup("old", daysAgo(400), year), backup("new", daysAgo(1))]));
    expect(expired(plan)).toEqual(["old b2", "old r2"]);
    expect(decisionOf(plan, "old r2")).toMatchObject({
      reason: "older than 365 days (400 d), and no other rule keeps it",
      reliesOn: [],
    });
  });

  test("the same without a newer one keeps one copy, with the reason", () => {
    const plan = planRetention(input([backup("old", daysAgo(400), year)]));
    expect(expired(plan)).toEqual(["old r2"]);
    expect(decisionOf(plan, "old b2")).toMatchObject({
      action: "keep",
      guard: "newest-good",
      reason:
        "older than 365 days (400 d), but it is the last confirmed copy of the newest good backup of main/app",
    });
    expect(decisionOf(plan, "old r2").reliesOn).toEqual(["b2"]);
  });
});

describe("the guard of the newest good backup", () => {
  const everywhere = [LOCAL, { ...R2, keep: { days: 30 } }, { ...B2, keep: { days: 30 } }];

  test("keeps one copy off-site if all would expire at once, the same one in any order", () => {
    const { copies, ...rest } = backup("one", daysAgo(40));
    for (const order of [copies, copies.toReversed()]) {
      const plan = planRetention(input([{ ...rest, copies: order }], { storages: everywhere.toReversed() }));
      expect(expired(plan)).toEqual(["one local", "one r2"]);
      expect(decisionOf(plan, "one local").reliesOn).toEqual(["b2"]);
    }
  });

  test("keeps the local copy if there is no other", () => {
    const plan = planRetention(input([backup("one", daysAgo(40), ["local"])]));
    expect(decisionOf(plan, "one local")).toMatchObject({ action: "keep", guard: "newest-good" });
  });

  test("relies only on confirmed copies, and prefers one that is kept anyway", () => {
    const unsure = planRetention(
      input([
        backup("one", daysAgo(40), [], {
          copies: [
            { storage: "local", isConfirmed: true, bytes: 1 },
            { storage: "r2", isConfirmed: false, bytes: 1 },
          ],
        }),
      ]),
    );
    expect(expired(unsure)).toEqual([]);
    const locked = planRetention(
      input(
        [
          backup("one", daysAgo(40), [], {
            copies: [
              { storage: "local", isConfirmed: true, bytes: 1, lockedUntil: daysAgo(-1) },
              { storage: "r2", isConfirmed: true, bytes: 1 },
            ],
          }),
        ],
        { storages: everywhere },
      ),
    );
    expect(expired(locked)).toEqual(["one r2"]);
    expect(decisionOf(locked, "one r2").reliesOn).toEqual(["local"]);
  });

  test("a backup that is bad, or has no confirmed copy in a configured storage, is never the newest good one", () => {
    const unconfirmed = { storage: "r2", isConfirmed: false, bytes: 1 };
    const others: RetainedBackup[] = [
      backup("bad", daysAgo(1), ["r2"], { isGood: false }),
      backup("unconfirmed", daysAgo(1), [], { copies: [unconfirmed] }),
      backup("copyless", daysAgo(1), []),
      backup("gone-storage", daysAgo(1), ["tape"]),
    ];
    for (const other of others) {
      const plan = planRetention(input([backup("old", daysAgo(400), ["r2"]), other]));
      expect(decisionOf(plan, "old r2")).toMatchObject({ action: "keep", guard: "newest-good" });
      expect(plan.newestGood.map(({ backupId }) => backupId)).toEqual(["old"]);
    }
  });

  describe("with a storage that its provider cleans", () => {
    const storages = [LOCAL, { ...R2, expire: false, keep: { days: 20 } }];

    test("relies on no copy there, young or old, because the provider deletes even the last one", () => {
      for (const days of [20, 365]) {
        const places = [LOCAL, { ...R2, expire: false, keep: { days } }];
        const plan = planRetention(
          input([backup("one", daysAgo(40), ["local", "r2"])], { storages: places }),
        );
        expect(decisionOf(plan, "one local")).toMatchObject({ action: "keep", guard: "newest-good" });
      }
    });

    test("leaves the copies there to the provider", () => {
      const plan = planRetention(input([backup("one", daysAgo(40), ["r2"])], { storages }));
      expect(plan.decisions).toMatchObject([
        {
          action: "keep",
          isLeftToProvider: true,
          reason: "older than 20 days (40 d), and left to the provider's lifecycle rule",
        },
      ]);
      expect(plan.newestGood).toEqual([]);
    });

    test("still keeps the newest one in other storages, although a newer one there makes the database fresh", () => {
      const own = [40, 41].map((days) => backup(`day-${days}`, daysAgo(days), ["local"]));
      const plan = planRetention(input([backup("new", daysAgo(1), ["r2"]), ...own], { storages }));
      expect(expired(plan)).toEqual(["day-41 local"]);
      expect(decisionOf(plan, "day-40 local").reason).toBe(
        "older than 30 days (40 d), but it is the last confirmed copy of the newest good backup of main/app that no provider removes",
      );
    });
  });

  test("is one for each database of each server", () => {
    const old = (id: string, server: string, database: string) =>
      backup(id, daysAgo(400), ["r2"], { server, database });
    const plan = planRetention(
      input([old("a", "main", "app"), old("b", "main", "shop"), old("c", "two", "app")]),
    );
    expect(expired(plan)).toEqual([]);
    expect(plan.newestGood.map(({ backupId }) => backupId)).toEqual(["a", "b", "c"]);
  });
});

describe("the guard of a stale database", () => {
  const storages = [{ ...R2, keep: { days: 1 } }];
  const backups = [4, 5, 6, 7].map((days) => backup(`day-${days}`, daysAgo(days), ["r2"]));

  test("keeps the last copies of its newest few backups, and says since when it is stale", () => {
    const plan = planRetention(input(backups, { storages }));
    expect(expired(plan)).toEqual(["day-7 r2"]);
    expect(decisionOf(plan, "day-4 r2").guard).toBe("newest-good");
    expect(decisionOf(plan, "day-6 r2")).toMatchObject({
      guard: "stale",
      reason:
        "older than 1 day (6 d), but it is the last confirmed copy of one of the newest 3 good backups of main/app, which has had no new one for 4 d",
    });
  });

  test("uses each database's own limit; exactly at the limit it is not stale", () => {
    const staleAfterMs = (server: string, database: string) =>
      server === "main" && database === "app" ? 4 * DAY_MS : 0;
    const guard = { staleAfterMs, keep: 3 };
    expect(expired(planRetention(input(backups, { storages, guard })))).toHaveLength(3);
    const other = backups.map((one) => ({ ...one, database: "other" }));
    expect(expired(planRetention(input(other, { storages, guard })))).toHaveLength(1);
  });

  test("a new bad backup does not make it fresh", () => {
    const bad = backup("bad", daysAgo(0.5), ["r2"], { isGood: false });
    expect(expired(planRetention(input([...backups, bad], { storages })))).toEqual(["day-7 r2"]);
  });
});

test("good backups from before a sudden shrink keep their last copies", () => {
  const storages = [LOCAL, { ...R2, keep: { days: 30 } }];
  const big = (id: string, days: number) =>
    backup(id, daysAgo(days), ["local", "r2"], { shrinkSuspect: true });
  const plan = planRetention(
    input([backup("small", daysAgo(1), ["r2"]), big("big", 40), big("bigger", 41)], { storages }),
  );
  expect(expired(plan)).toEqual(["big local", "bigger local"]);
  expect(decisionOf(plan, "bigger r2")).toMatchObject({
    guard: "shrunk",
    reason:
      "older than 30 days (41 d), but it is the last confirmed copy of a good backup from before the dumps of main/app shrank suddenly",
  });
});

describe("a person's hold", () => {
  const held = (heldUntil: Date | undefined, more: { heldFor?: string } = {}) =>
    planRetention(
      input([
        backup("held", daysAgo(400), undefined, { isHeld: true, heldUntil, isGood: false, ...more }),
        backup("new", NOW),
      ]),
    );

  test("keeps every copy, also of a bad backup, for ever or until its end", () => {
    expect(expired(held(undefined))).toEqual([]);
    expect(decisionOf(held(undefined), "held local")).toMatchObject({
      guard: "held",
      reason: "older than 30 days (400 d), but the backup is on hold",
    });
    expect(decisionOf(held(new Date("2026-12-24T18:00:00Z")), "held r2").reason).toBe(
      "older than 365 days (400 d), but the backup is on hold until 2026-12-24T18:00:00Z",
    );
    expect(decisionOf(held(undefined, { heldFor: "audit" }), "held local").reason).toEndWith(
      "is on hold (audit)",
    );
  });

  test("expires at its end", () => {
    expect(expired(held(NOW))).toEqual(["held b2", "held local", "held r2"]);
    expect(expired(held(new Date(NOW.getTime() + 1)))).toEqual([]);
  });

  test("has no effect after it was released", () => {
    const released = backup("one", daysAgo(400), ["r2"], { isHeld: false, heldUntil: daysAgo(-10) });
    expect(expired(planRetention(input([released, backup("new", NOW)])))).toEqual(["one r2"]);
  });
});

test("a copy under Object Lock is kept until its date, the others are not", () => {
  const copies = [
    { storage: "b2", isConfirmed: true, bytes: 1, lockedUntil: new Date("2027-01-01T00:00:00Z") },
    { storage: "r2", isConfirmed: true, bytes: 1, lockedUntil: NOW },
  ];
  const plan = planRetention(input([backup("old", daysAgo(400), [], { copies }), backup("new", NOW)]));
  expect(expired(plan)).toEqual(["old r2"]);
  expect(decisionOf(plan, "old b2")).toMatchObject({
    guard: "locked",
    reason: "older than 365 days (400 d), but locked until 2027-01-01T00:00:00Z by Object Lock",
  });
});

test("a guard is named only if nothing else keeps the copy", () => {
  const plan = planRetention(
    input([backup("young", daysAgo(2), ["r2"], { isHeld: true, shrinkSuspect: true })]),
  );
  expect(decisionOf(plan, "young r2")).not.toHaveProperty("guard");
});

test("a copy in a storage removed from the config is kept, and nothing relies on it", () => {
  const plan = planRetention(input([backup("one", daysAgo(400), ["tape", "r2"])]));
  expect(decisionOf(plan, "one tape")).toMatchObject({
    action: "keep",
    reason: "its storage is not in the config",
  });
  expect(decisionOf(plan, "one r2")).toMatchObject({ action: "keep", guard: "newest-good" });
});

test("a damaged copy expires by age, even of a good backup", () => {
  const copies = [
    { storage: "local", isConfirmed: false, bytes: 1 },
    { storage: "r2", isConfirmed: true, bytes: 1 },
  ];
  const plan = planRetention(input([backup("one", daysAgo(40), [], { copies })]));
  expect(decisionOf(plan, "one local")).toMatchObject({ action: "expire", reliesOn: ["r2"] });
});

describe("a record dated ahead", () => {
  const old = backup("old", daysAgo(400), ["r2"]);

  test("by more than an hour never counts as newest, is kept, and is reported", () => {
    const startedAt = new Date(NOW.getTime() + 3_600_001);
    const plan = planRetention(input([old, backup("ahead", startedAt, ["r2"])]));
    expect(decisionOf(plan, "old r2").guard).toBe("newest-good");
    expect(decisionOf(plan, "ahead r2")).toMatchObject({
      action: "keep",
      reason: "it is dated ahead of the clock, so its age is unknown",
    });
    expect(plan.futureDated).toEqual([{ backupId: "ahead", server: "main", database: "app", startedAt }]);
  });

  test("by an hour or less is treated as any other", () => {
    const plan = planRetention(input([old, backup("ahead", new Date(NOW.getTime() + 3_600_000), ["r2"])]));
    expect(expired(plan)).toEqual(["old r2"]);
    expect(plan.futureDated).toEqual([]);
  });

  test("does not count in the counting rules", () => {
    const storages = [{ ...R2, keep: { days: 1, last: 1 } }];
    const backups = [backup("ahead", daysAgo(-2), ["r2"]), backup("new", daysAgo(2), ["r2"])];
    expect(decisionOf(planRetention(input(backups, { storages })), "new r2").reason).toContain(
      "keep.last = 1",
    );
  });

  test("also with an invalid date", () => {
    const plan = planRetention(input([old, backup("odd", new Date("?"), ["r2"])]));
    expect(expired(plan)).toEqual([]);
    expect(plan.futureDated.map(({ backupId }) => backupId)).toEqual(["odd"]);
  });
});

test("without backups there is nothing to decide", () => {
  expect(planRetention(input([]))).toMatchObject({
    decisions: [],
    suspended: [],
    futureDated: [],
    newestGood: [],
  });
});

test("the input is not changed", () => {
  const given = input([backup("b", daysAgo(400)), backup("a", daysAgo(1)), backup("c", daysAgo(40))]);
  const before = structuredClone({ ...given, guard: undefined });
  planRetention(given);
  expect(structuredClone({ ...given, guard: undefined })).toEqual(before);
});
