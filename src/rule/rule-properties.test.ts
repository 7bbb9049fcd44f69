import { expect, test } from "bun:test";
import fc from "fast-check";
import { ruleFactsOf } from "../../test/fixtures/rule-facts.ts";
import { HOUR_MS } from "../base/limits.ts";
import type { CopyState } from "../catalog/records.ts";
import { byStanding } from "../catalog/restore-tests.ts";
import { MARK_STATES, RULES, type RuledCopy, type RuleFacts, type RuleName } from "./facts.ts";
import { marksOf } from "./judge.ts";
import { dated, type MarkRecord } from "./since.ts";

const RUNS = { numRuns: 500 };
const BAD: readonly CopyState[] = ["DAMAGED", "MISSING", "HIDDEN", "DELETED", "DELETING", "FAILED"];

const held = (facts: RuleFacts): RuleName[] =>
  marksOf(facts).flatMap(({ rule, state }) => (state === "held" ? rule : []));
/** Marks that are held after a change, but were not before. */
const gained = (before: RuleFacts, after: RuleFacts) => {
  const had = held(before);
  return held(after).filter((rule) => !had.includes(rule));
};
const withCopies = (facts: RuleFacts, change: (copies: readonly RuledCopy[]) => RuledCopy[]): RuleFacts =>
  facts.backup === null
    ? facts
    : { ...facts, backup: { ...facts.backup, copies: change(facts.backup.copies) } };

test("every database has five marks in their order, each with a sentence; a missing one has a next step", () => {
  fc.assert(
    fc.property(ruleFactsOf, (facts) => {
      const marks = marksOf(facts);
      expect(marks.map(({ rule }) => rule)).toEqual([...RULES]);
      for (const { state, sentence, next_step, lost_at } of marks) {
        expect(MARK_STATES).toContain(state);
        expect(sentence).not.toMatch(/^$|undefined|Invalid|NaN|\.$/);
        const isMissing = state === "lost" || state === "not_set_up";
        expect(next_step !== null).toBe(isMissing);
        if (lost_at) expect(state === "lost" && lost_at <= facts.now).toBe(true);
      }
    }),
    RUNS,
  );
});

test("removing a copy never gains a mark", () => {
  fc.assert(
    fc.property(ruleFactsOf, fc.nat(5), (facts, at) => {
      const after = withCopies(facts, (copies) => copies.filter((_, index) => index !== at));
      expect(gained(facts, after)).toEqual([]);
    }),
    RUNS,
  );
});

test("damage to a copy never gains a mark", () => {
  fc.assert(
    fc.property(ruleFactsOf, fc.nat(5), fc.constantFrom(...BAD), (facts, at, state) => {
      const after = withCopies(facts, (copies) =>
        copies.map((copy, index) => (index === at ? { ...copy, state } : copy)),
      );
      expect(gained(facts, after)).toEqual([]);
    }),
    RUNS,
  );
});

test("the loss of the newest backup, of the live database or of a storage never gains a mark", () => {
  fc.assert(
    fc.property(ruleFactsOf, fc.nat(4), (facts, at) => {
      expect(gained(facts, { ...facts, backup: null })).toEqual([]);
      expect(gained(facts, { ...facts, isLive: false })).toEqual([]);
      const storages = facts.storages.filter((_, index) => index !== at);
      expect(gained(facts, { ...facts, storages })).toEqual([]);
    }),
    RUNS,
  );
});

test("a fresher passed test never loses a mark", () => {
  fc.assert(
    fc.property(ruleFactsOf, fc.nat(2000), (facts, hours) => {
      const before = facts.test;
      const atMs = Math.min(
        facts.now.getTime(),
        Date.parse(before?.finished_at ?? facts.now.toISOString()) + hours * HOUR_MS,
      );
      const fresher = { outcome: "PASSED", error: null, backup_id: "2", prover: null, checks: [] } as const;
      const after = { ...facts, test: { ...fresher, finished_at: new Date(atMs).toISOString() } };
      expect(gained(after, facts)).toEqual([]);
    }),
    RUNS,
  );
});

test("a passed test of an older backup never gains a mark that a failed test of a newer one took", () => {
  fc.assert(
    fc.property(ruleFactsOf, fc.nat(2000), fc.nat(2000), fc.nat(2000), (facts, age, older, later) => {
      const agoMs = (hours: number) => new Date(facts.now.getTime() - hours * HOUR_MS).toISOString();
      const about = { checks: [], error: null, backup_id: "1", prover: null };
      const failed = {
        ...{ ...about, outcome: "FAILED" as const, id: "b" },
        ...{ backup_started_at: agoMs(age + later), finished_at: agoMs(later) },
      };
      const passed = {
        ...{ ...about, outcome: "PASSED" as const, id: "a", finished_at: agoMs(0) },
        backup_started_at: agoMs(age + later + older + 1),
      };
      const [standing] = [passed, failed].toSorted(byStanding);
      expect(gained({ ...facts, test: failed }, { ...facts, test: standing ?? null })).toEqual([]);
    }),
    RUNS,
  );
});

test("time that passes never gains a mark", () => {
  fc.assert(
    fc.property(ruleFactsOf, fc.nat(3000), (facts, hours) => {
      const now = new Date(facts.now.getTime() + hours * HOUR_MS);
      expect(gained(facts, { ...facts, now })).toEqual([]);
    }),
    RUNS,
  );
});

test("demanding more never turns a missing mark into a held one", () => {
  fc.assert(
    fc.property(ruleFactsOf, fc.constantFrom(1, 2, 10), (facts, more) => {
      const { demands } = facts;
      const demanding = {
        ...demands,
        copies: demands.copies + more,
        kinds: Math.min(2, demands.kinds + more),
        off_site: demands.off_site + more,
        immutable: demands.immutable + more,
        zero_errors: true,
        restore_test_max_age_ms: demands.restore_test_max_age_ms / more,
      };
      const missing = marksOf(facts).flatMap(({ rule, state }) => (state === "not_demanded" ? [] : rule));
      const now = gained(facts, { ...facts, demands: demanding }).filter((rule) => missing.includes(rule));
      expect(now).toEqual([]);
    }),
    RUNS,
  );
});

test("a mark dates from its last change: never from the future, and it does not move while nothing changes", () => {
  fc.assert(
    fc.property(ruleFactsOf, fc.nat(3000), (facts, hours) => {
      const first = dated(marksOf(facts), [], facts.now);
      const records: MarkRecord[] = first.map(({ rule, state, since }) => ({ rule, state, since }));
      const now = new Date(facts.now.getTime() + hours * HOUR_MS);
      for (const mark of dated(marksOf({ ...facts, now }), records, now)) {
        const before = first.find(({ rule }) => rule === mark.rule);
        expect(mark.since >= (before?.since ?? "") && mark.since <= now.toISOString()).toBe(true);
        if (before?.state === mark.state) expect(mark.since).toBe(before.since);
      }
    }),
    RUNS,
  );
});
