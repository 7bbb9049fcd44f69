import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  backup,
  daysAgo,
  input,
  LOCAL,
  planRetention,
  type RetentionInput,
} from "../../test/fixtures/retention.ts";
import { inputs } from "../../test/fixtures/retention-facts.ts";
import { type Verdict, wholePlan } from "../../test/fixtures/whole-plan.ts";
import { newestFirst, RetentionPlanner, RetentionSurvey } from "./plan.ts";

const RUNS = { numRuns: 300 };
const nameOf = ({ backupId, storage }: Verdict) => `${backupId} ${storage}`;
const byName = (a: Verdict, b: Verdict) => (nameOf(a) < nameOf(b) ? -1 : 1);
const bySort = (a: unknown, b: unknown) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);

function verdictsOf(given: RetentionInput): Verdict[] {
  return planRetention(given)
    .decisions.map(({ backupId, storage, action, reliesOn, guard, isSuspended, isLeftToProvider }) => ({
      ...{ backupId, storage, action, reliesOn, guard: guard ?? null },
      ...{ isSuspended: isSuspended ?? false, isLeftToProvider: isLeftToProvider ?? false },
    }))
    .toSorted(byName);
}

/** Sometimes a clock that is not trusted, and a plan that a person has confirmed. */
const some = fc.record({ given: inputs, isSuspect: fc.nat({ max: 5 }).map((n) => n === 0) });

describe("the plan made while backups are read", () => {
  test("equals the plan made of all of them at once", () => {
    fc.assert(
      fc.property(some, ({ given, isSuspect }) => {
        const facts = { ...given, clockSuspicion: isSuspect ? "it is" : undefined };
        const whole = wholePlan(facts);
        expect(verdictsOf(facts)).toEqual(whole.verdicts.toSorted(byName));
        const stops = planRetention(facts).suspended.map(({ reason: _, ...stop }) => stop);
        expect(stops.toSorted(bySort)).toEqual(whole.suspended.toSorted(bySort));
      }),
      RUNS,
    );
  });

  test("counts what it decides, stopped or confirmed", () => {
    fc.assert(
      fc.property(some, ({ given, isSuspect }) => {
        const facts = { ...given, clockSuspicion: isSuspect ? "it is" : undefined };
        const stopped = planRetention(facts);
        for (const plan of [stopped, planRetention({ ...facts, confirmedPlanHash: stopped.planHash })]) {
          for (const [storage, counts] of plan.counts) {
            const here = plan.decisions.filter((one) => one.storage === storage);
            expect(counts).toEqual({
              expiring: here.filter(({ action }) => action === "expire").length,
              guarded: here.filter(({ guard }) => guard !== undefined).length,
              suspended: here.filter(({ isSuspended }) => isSuspended).length,
            });
          }
          expect(new Set(plan.counts.keys())).toEqual(new Set(plan.decisions.map(({ storage }) => storage)));
        }
      }),
      RUNS,
    );
  });

  test("has the same hash in any order of the databases, and another one if another copy expires", () => {
    fc.assert(
      fc.property(inputs, ({ backups, ...rules }) => {
        const groups = [
          ...Map.groupBy(backups.toSorted(newestFirst), (one) => `${one.server}/${one.database}`).values(),
        ];
        const outlineOf = (order: typeof groups) => {
          const survey = new RetentionSurvey(rules);
          for (const one of order.flat()) survey.add(one);
          return survey.end();
        };
        const [there, back] = [outlineOf(groups), outlineOf(groups.toReversed())];
        expect(back.planHash).toBe(there.planHash);
        expect(back.suspended).toEqual(there.suspended);
      }),
      RUNS,
    );
    const [old, older] = [backup("old", daysAgo(40), ["local"]), backup("older", daysAgo(41), ["local"])];
    const hashOf = (...backups: (typeof old)[]) =>
      planRetention(input([backup("new", daysAgo(0)), ...backups])).planHash;
    const hashes = [hashOf(), hashOf(old), hashOf(older), hashOf(old, older)];
    expect(new Set(hashes).size).toBe(hashes.length);
  });

  test("is refused if backups come in another order: the wrong ones would expire", () => {
    const rules = input([], { storages: [LOCAL] });
    const [young, old] = [backup("young", daysAgo(1)), backup("old", daysAgo(2))];
    const other = backup("other", daysAgo(3), ["local"], { database: "shop" });
    const planner = () => new RetentionPlanner(rules);
    const decide = (...backups: (typeof old)[]) => {
      const one = planner();
      for (const each of backups) one.decide(each);
    };
    decide(young, old, other);
    expect(() => decide(old, young)).toThrow("out of order");
    expect(() => decide(young, other, old)).toThrow("a second time");
    // Backups dated ahead do not count, wherever they come.
    decide(backup("unknown", new Date(Number.NaN)), old, backup("ahead", daysAgo(-1)), other);
  });

  test("names the newest hundred of the backups dated ahead", () => {
    const ahead = Array.from({ length: 450 }, (_, n) => backup(`ahead-${n}`, daysAgo(-1 - n)));
    const { futureDated } = planRetention(input(ahead));
    expect(futureDated.map(({ backupId }) => backupId)).toEqual(
      Array.from({ length: 100 }, (_, n) => `ahead-${449 - n}`),
    );
  });
});
