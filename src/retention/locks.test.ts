import { expect, test } from "bun:test";
import fc from "fast-check";
import {
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
import { DAY_MS } from "../base/limits.ts";
import { newLockEnd } from "./locks.ts";
import type { RetainedBackup, RetainingStorage } from "./plan.ts";

const LOCK = { days: 7, mayOutlast: false };
const inDays = (days: number) => daysAgo(-days);

/** The new end of the lock of one copy, by a plan with horizon 2 days; a newer good backup takes the guard. */
function renewal(
  startedAt: Date,
  lockedUntil: Date | undefined,
  {
    isLockWeak = false,
    ...change
  }: {
    storage?: Partial<RetainingStorage>;
    backup?: Partial<RetainedBackup>;
    isLockWeak?: boolean;
  } = {},
): Date | undefined {
  const storage = { ...R2, keep: { days: 30 }, lock: LOCK, ...change.storage };
  const copies = [{ storage: "r2", isConfirmed: true, bytes: 1, lockedUntil, isLockWeak }];
  const one = backup("one", startedAt, [], { copies, ...change.backup });
  const rules = { storages: [LOCAL, storage, B2], lockHorizonMs: 2 * DAY_MS };
  return decisionOf(planRetention(input([one, backup("new", NOW, ["r2", "b2"])], rules)), "one r2").lockUntil;
}

const held = { isHeld: true, heldUntil: undefined };

test.each([
  ["one that lasts beyond the next cleanup stays as it is", daysAgo(4), inDays(3), {}, undefined],
  ["one that would run out is extended", daysAgo(5), inDays(1), {}, inDays(7)],
  ["a copy that is not locked yet is locked", daysAgo(5), undefined, {}, inDays(7)],
  ["a weak one is raised as it is", daysAgo(4), inDays(3), { isLockWeak: true }, inDays(3)],
  ["a weak one that would run out is extended", daysAgo(5), inDays(1), { isLockWeak: true }, inDays(7)],
  ["a weak one longer than asked for stays", daysAgo(5), inDays(8), { isLockWeak: true }, undefined],
  ["a weak one at the end of its days is raised", daysAgo(29), inDays(1), { isLockWeak: true }, inDays(1)],
  ["at most to the end of the copy's days", daysAgo(26), inDays(1), {}, inDays(4)],
  ["not beyond the end of the copy's days", daysAgo(29), inDays(1), {}, undefined],
  [
    "unless that is allowed",
    daysAgo(29),
    inDays(1),
    { storage: { lock: { days: 7, mayOutlast: true } } },
    inDays(7),
  ],
  [
    "beyond them while a keep rule counts it",
    daysAgo(29),
    inDays(1),
    { storage: { keep: { days: 30, last: 2 } } },
    inDays(7),
  ],
  ["long after them", daysAgo(300), inDays(1), { storage: { keep: { days: 30, last: 2 } } }, inDays(7)],
  ["beyond them while it is on hold", daysAgo(300), undefined, { backup: held }, inDays(7)],
  [
    "to the end of the hold",
    daysAgo(300),
    inDays(1),
    { backup: { isHeld: true, heldUntil: inDays(5) } },
    inDays(5),
  ],
  ["not for an expired copy", daysAgo(31), undefined, {}, undefined],
  ["not for an expired copy that is still locked", daysAgo(31), inDays(1), {}, undefined],
  ["not without a lock in the config", daysAgo(5), undefined, { storage: { lock: undefined } }, undefined],
  ["not if the provider deletes it", daysAgo(31), undefined, { storage: { expire: false } }, undefined],
] as const)("a lock: %s", (_, startedAt, lockedUntil, change, expected) => {
  expect(renewal(startedAt, lockedUntil, change)).toEqual(expected as Date);
});

test("a new lock ends with the copy's days, or after the lock's own", () => {
  expect(newLockEnd(LOCK, 30, NOW, NOW)).toEqual(inDays(7));
  expect(newLockEnd(LOCK, 7, daysAgo(1), NOW)).toEqual(inDays(6));
  expect(newLockEnd({ days: 7, mayOutlast: true }, 7, daysAgo(1), NOW)).toEqual(inDays(7));
  expect(newLockEnd(LOCK, 7, daysAgo(8), NOW)).toEqual(inDays(7));
});

test("a lock is never shortened, and never longer than the lock's days", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 400 }),
      fc.option(fc.integer({ min: -10, max: 60 }), { nil: undefined }),
      fc.integer({ min: 1, max: 60 }),
      fc.boolean(),
      (ageDays, lockedDays, days, isHeld) => {
        const lockedUntil = lockedDays === undefined ? undefined : inDays(lockedDays);
        const change = { storage: { lock: { days, mayOutlast: false } }, backup: { ...held, isHeld } };
        const end = renewal(daysAgo(ageDays), lockedUntil, change);
        if (end === undefined) return;
        expect(end.getTime()).toBeGreaterThan(lockedUntil?.getTime() ?? 0);
        expect(end.getTime()).toBeLessThanOrEqual(inDays(days).getTime());
      },
    ),
  );
});
