import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  asked,
  expired,
  nameOf,
  planRetention,
  type RetentionInput,
  type RetentionPlan,
  without,
} from "../../test/fixtures/retention.ts";
import { COUNTS, inputs } from "../../test/fixtures/retention-facts.ts";
import { DAY_MS } from "../base/limits.ts";
import type { KeepRules, RetainedBackup, RetainedCopy, RetainingStorage } from "./facts.ts";

const RUNS = { numRuns: 200 };

/** Without its stops: an added rule may bring a plan below the limit of a stop, and so let it through. */
function confirmed(given: RetentionInput): RetentionPlan {
  return planRetention({ ...given, confirmedPlanHash: planRetention(given).planHash });
}

/** The newest good backup of each database according to the catalog. */
function newestGood(
  { backups, now }: RetentionInput,
  isReachable: (copy: RetainedCopy) => boolean,
): RetainedBackup[] {
  const newest = new Map<string, RetainedBackup>();
  for (const one of backups) {
    const isGood = one.isGood && one.copies.some((copy) => copy.isConfirmed && isReachable(copy));
    if (!isGood || one.startedAt.getTime() - now.getTime() > 3_600_000) continue;
    const key = `${one.server}/${one.database}`;
    const other = newest.get(key);
    const isNewer =
      other === undefined ||
      one.startedAt > other.startedAt ||
      (one.startedAt.getTime() === other.startedAt.getTime() && one.id > other.id);
    if (isNewer) newest.set(key, one);
  }
  return [...newest.values()];
}

const check = (property: (given: RetentionInput) => void) => fc.assert(fc.property(inputs, property), RUNS);

describe("for any facts", () => {
  test("they reach every part of the plan", () => {
    const seen = new Set<string>();
    for (const given of fc.sample(inputs, { numRuns: 200, seed: 1 })) {
      const plan = planRetention(given);
      for (const { kind } of plan.suspended) seen.add(kind);
      for (const { action, guard, isLeftToProvider, reliesOn, reason } of plan.decisions) {
        seen.add(guard ?? action);
        if (isLeftToProvider) seen.add("provider");
        if (reliesOn.length > 0) seen.add("relies");
        seen.add(/keep\.(\w+)/.exec(reason)?.[1] ?? "");
      }
    }
    const parts = [
      "expire",
      "keep",
      "newest-good",
      "stale",
      "shrunk",
      "held",
      "locked",
      "provider",
      "relies",
    ];
    expect([...seen]).toEqual(expect.arrayContaining([...parts, ...COUNTS, "database", "storage"]));
  });

  test("every copy gets exactly one decision, and expires at most once", () =>
    check((given) => {
      const names = given.backups.flatMap(({ id, copies }) =>
        copies.map(({ storage }) => `${id} ${storage}`),
      );
      const decided = planRetention(given).decisions.map(nameOf);
      expect(decided.toSorted()).toEqual(names.toSorted());
      expect(new Set(decided).size).toBe(decided.length);
    }));

  test("the order of the input does not matter", () => {
    fc.assert(
      fc.property(inputs, fc.infiniteStream(fc.nat()), (given, random) => {
        const shuffled = <T>(items: readonly T[]) =>
          items
            .map((item) => ({ item, at: random.next().value as number }))
            .sort((a, b) => a.at - b.at)
            .map(({ item }) => item);
        const other = {
          ...given,
          storages: shuffled(given.storages),
          backups: shuffled(given.backups).map((one) => ({ ...one, copies: shuffled(one.copies) })),
        };
        expect(planRetention(other)).toEqual(planRetention(given));
        expect(confirmed(other)).toEqual(confirmed(given));
      }),
      RUNS,
    );
  });

  test("after a plan is carried out, a new plan from the same facts expires nothing more", () =>
    check((given) => {
      for (const plan of [planRetention(given), confirmed(given)]) {
        const gone = expired(plan);
        const again = planRetention({ ...given, backups: without(given.backups, gone) });
        expect(expired(again)).toEqual([]);
        expect(asked(again)).toEqual(asked(plan).filter((name) => !gone.includes(name)));
      }
    }));

  test("after a plan is carried out in part, the rest still expires and no guarded backup is lost", () => {
    fc.assert(
      fc.property(inputs, fc.nat(), (given, salt) => {
        const plan = confirmed(given);
        const done = expired(plan).filter((_, n) => (salt >> (n % 30)) % 2 === 0);
        const rest = confirmed({ ...given, backups: without(given.backups, done) });
        expect(expired(rest)).toEqual(expired(plan).filter((name) => !done.includes(name)));
      }),
      RUNS,
    );
  });

  test("the newest good backup of every database keeps a confirmed copy", () =>
    check((given) => {
      const gone = new Set(expired(confirmed(given)));
      const isConfigured = ({ storage }: RetainedCopy) => given.storages.some(({ name }) => name === storage);
      for (const isReachable of [() => true, isConfigured]) {
        for (const { id, copies } of newestGood(given, isReachable)) {
          const left = copies.filter(
            ({ storage, isConfirmed }) => isConfirmed && !gone.has(`${id} ${storage}`),
          );
          expect(left.some(isReachable)).toBe(true);
        }
      }
    }));

  test("a copy relies only on confirmed copies of the same backup that are kept", () =>
    check((given) => {
      const { decisions } = confirmed(given);
      for (const { backupId, action, reliesOn } of decisions) {
        if (action === "keep") expect(reliesOn).toEqual([]);
        for (const storage of reliesOn) {
          const other = decisions.find((one) => one.backupId === backupId && one.storage === storage);
          expect(other).toMatchObject({ action: "keep", isConfirmed: true });
          expect(other?.isLeftToProvider).toBeUndefined();
        }
      }
    }));

  test("of a guarded backup exactly one copy is kept if all would expire", () =>
    check((given) => {
      const { decisions } = confirmed(given);
      for (const { backupId, guard } of decisions) {
        if (guard === undefined || guard === "held" || guard === "locked") continue;
        const confirmedOnes = decisions.filter((one) => one.backupId === backupId && one.isConfirmed);
        const ours = given.storages.filter(({ expire }) => expire).map(({ name }) => name);
        const staying = confirmedOnes.filter(
          ({ action, storage }) => action === "keep" && ours.includes(storage),
        );
        expect(staying).toHaveLength(1);
        const isOffSite = (storage: string) =>
          given.storages.find(({ name }) => name === storage)?.offSite === true;
        const going = confirmedOnes.filter(({ action }) => action === "expire");
        if (going.some(({ storage }) => isOffSite(storage)))
          expect(isOffSite(staying[0]?.storage ?? "")).toBe(true);
      }
    }));

  test("only copies past their days in a configured storage that pg321 cleans expire, and none on hold or locked", () =>
    check((given) => {
      const byId = new Map(given.backups.map((one) => [one.id, one]));
      for (const { backupId, storage: name } of confirmed(given).decisions.filter(
        ({ action }) => action === "expire",
      )) {
        const one = byId.get(backupId) as RetainedBackup;
        const storage = given.storages.find((place) => place.name === name) as RetainingStorage;
        expect(storage.expire).toBe(true);
        expect(given.now.getTime() - one.startedAt.getTime()).toBeGreaterThan(storage.keep.days * DAY_MS);
        expect(one.isHeld && (one.heldUntil === undefined || one.heldUntil > given.now)).toBe(false);
        const lockedUntil = one.copies.find((copy) => copy.storage === name)?.lockedUntil;
        expect(lockedUntil === undefined || lockedUntil <= given.now).toBe(true);
      }
    }));

  test("an unconfirmed plan empties no storage", () =>
    check((given) => {
      const { decisions } = planRetention(given);
      const isMass = (part: typeof decisions, least: number) => {
        const going = part.filter(({ action }) => action === "expire").length;
        return going >= least && going * 2 > part.length;
      };
      for (const { name } of given.storages) {
        const here = decisions.filter(({ storage }) => storage === name);
        expect(isMass(here, 11)).toBe(false);
        for (const part of Object.values(Object.groupBy(here, (one) => `${one.server}/${one.database}`)))
          expect(isMass(part ?? [], 5)).toBe(false);
      }
    }));

  test("every reason is one sentence, and every kept copy has one", () =>
    check((given) => {
      const { decisions, suspended } = planRetention(given);
      for (const { reason } of [...decisions, ...suspended]) expect(reason).toMatch(/^[a-z0-9][^\n]*[^.\s]$/);
    }));
});

describe("an added rule", () => {
  const more = fc.record({
    at: fc.nat(),
    rule: fc.constantFrom("days" as const, ...COUNTS),
    by: fc.integer({ min: 1, max: 400 }),
  });
  const withRule = (
    given: RetentionInput,
    { at, rule, by }: { at: number; rule: keyof KeepRules; by: number },
  ) => ({
    ...given,
    storages: given.storages.map((storage, index) =>
      index === at % given.storages.length
        ? { ...storage, keep: { ...storage.keep, [rule]: (storage.keep[rule] ?? 0) + by } }
        : storage,
    ),
  });

  test("expires no copy that was kept before, except for the choice of the last copy that a guard keeps", () => {
    fc.assert(
      fc.property(inputs, more, (given, added) => {
        const before = confirmed(given);
        const stayed = new Map(before.decisions.map((one) => [nameOf(one), one]));
        for (const name of expired(confirmed(withRule(given, added)))) {
          const decision = stayed.get(name);
          if (decision?.action === "expire") continue;
          // The rule keeps another copy of the same backup now, so the guard need not keep this one.
          expect(decision?.guard).toBeOneOf(["newest-good", "stale", "shrunk"]);
        }
      }),
      RUNS,
    );
  });

  test("expires no more copies of any backup", () => {
    fc.assert(
      fc.property(inputs, more, (given, added) => {
        const goneOf = (plan: RetentionPlan, id: string) =>
          plan.decisions.filter(({ backupId, action }) => backupId === id && action === "expire").length;
        const [before, after] = [confirmed(given), confirmed(withRule(given, added))];
        for (const { id } of given.backups) expect(goneOf(after, id)).toBeLessThanOrEqual(goneOf(before, id));
      }),
      RUNS,
    );
  });
});

test("time alone never empties a database: planned and carried out monthly for two years", () => {
  fc.assert(
    fc.property(inputs, (given) => {
      const isOurs = ({ storage }: RetainedCopy) =>
        given.storages.some(({ name, expire }) => name === storage && expire);
      const believable = given.backups.filter(({ startedAt }) => startedAt <= given.now);
      const known = newestGood({ ...given, backups: believable }, isOurs).map(({ server, database }) => ({
        server,
        database,
      }));
      let backups: readonly RetainedBackup[] = believable;
      for (let day = 0; day < 730; day += 30) {
        const now = new Date(given.now.getTime() + day * DAY_MS);
        backups = without(backups, expired(confirmed({ ...given, now, backups })));
      }
      for (const { server, database } of known) {
        const own = backups.filter((one) => one.server === server && one.database === database && one.isGood);
        expect(own.some(({ copies }) => copies.some((copy) => copy.isConfirmed && isOurs(copy)))).toBe(true);
      }
    }),
    { numRuns: 60 },
  );
});
