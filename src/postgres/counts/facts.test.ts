import { expect, test } from "bun:test";
import fc from "fast-check";
import type { DumpFacts, TableCount } from "./facts.ts";
import { cutFacts, isBetween, parseFacts, totalsOf, unknownFacts } from "./facts.ts";

const table = (name: string, rows: number | null): TableCount => ({
  ...{ schema: "public", name, rows },
  ...(rows === null ? { method: "not_counted", why: "locked" } : { method: "exact", why: null }),
});
const value = (last_value: number | bigint, is_called = true) => ({ last_value: `${last_value}`, is_called });
const sizeOf = (facts: DumpFacts | undefined) => Buffer.byteLength(JSON.stringify(facts));

const some = fc.array(fc.tuple(fc.string(), fc.option(fc.nat())), { maxLength: 30 }).map(
  (tables): DumpFacts => ({
    ...unknownFacts("no room"),
    tables: tables.map(([name, rows]) => table(name, rows)),
    sequences: tables.map(([name]) => ({ schema: "s", name, before: value(1), after: null })),
    invalid_indexes: tables.map(([name]) => ({ schema: "s", table: "t", name })),
  }),
);

test("facts that are cut fit and keep all sums, always in the same way", () => {
  fc.assert(
    fc.property(some, fc.nat(4000), (facts, room) => {
      const cut = cutFacts(facts, room);
      if (cut === undefined) return expect(room).toBeLessThan(600);
      expect(sizeOf(cut)).toBeLessThanOrEqual(room);
      expect(parseFacts(JSON.parse(JSON.stringify(cut)))).toEqual(cut);
      expect(cutFacts(facts, room)).toEqual(cut);
      expect(facts.tables).toEqual(expect.arrayContaining(cut.tables));
      const [all, left] = [totalsOf(facts), totalsOf(cut)];
      expect(left.tables).toBe(all.tables);
      expect(cut.sequences.length + (cut.omitted?.sequences ?? 0)).toBe(facts.sequences.length);
      if (cut.omitted === undefined) return expect(cut).toEqual(facts);
      if (cut.omitted.rows === null) return;
      expect(left).toEqual(all);
    }),
  );
});

test("what needs tables that were left out never costs the rest of the facts, nor more than half of the room", () => {
  const one = (i: number) => ({ schema: "public", name: `name ${i}` });
  const of = (count: number) => Array.from({ length: count }, (_, i) => i);
  const facts: DumpFacts = {
    ...unknownFacts("no room"),
    tables: of(50).map((i) => table(`t ${i}`, i)),
    streams: {
      ...{ jobs: 2, data_archives: 2, at_once: 2, why_one: null },
      extension_data: of(100).map((i) => ({ ...one(i), extension: "geo" })),
    },
    left_out: {
      ...{ key: "k", settings: { exclude_tables: ["log"] }, schema_only: false, options: [] },
      ...{ tables: [one(0)], tables_omitted: 0, rows_of: [], rows_of_omitted: 0 },
      ...{ large_objects: false, extensions: false, unmatched: [] },
      dependents: of(100).map((i) => ({ kind: "VIEW", ...one(i), needs: of(20).map(one) })),
      dependents_omitted: 3,
    },
  };
  const cut = cutFacts(facts, 8_000);
  expect(sizeOf(cut)).toBeLessThanOrEqual(8_000);
  expect(parseFacts(JSON.parse(JSON.stringify(cut)))).toEqual(cut);
  const { dependents = [], dependents_omitted } = cut?.left_out ?? {};
  expect(dependents.length).toBeGreaterThan(0);
  expect(dependents.length + (dependents_omitted ?? 0)).toBe(103);
  expect(cut?.tables.length).toBeGreaterThan(20);
  const { dependents: _one, dependents_omitted: _other, ...rest } = cut?.left_out ?? {};
  expect(facts.left_out).toMatchObject(rest);
  // Whatever the room: the facts without any of these lists need less than 1,100 bytes.
  for (let room = 1_100; room < 20_000; room += 97)
    expect(sizeOf(cutFacts(facts, room))).toBeLessThanOrEqual(room);
});

test("tables that are not counted, and those with the most rows, are left out last", () => {
  const names = Array.from({ length: 40 }, (_, i) => `table ${i}`);
  const counted = names.map((name, i) => table(name, i % 10 === 0 ? null : i));
  const facts = { ...unknownFacts("p"), tables: counted };
  const cuts = Array.from({ length: sizeOf(facts) }, (_, room) => cutFacts(facts, room)).filter(Boolean);
  const lists = new Set(cuts.map((cut) => cut?.tables.map(({ name }) => name.slice(6)).join(" ")));
  expect([...lists].slice(0, 7)).toEqual([
    "",
    "0",
    "0 10",
    "0 10 20",
    "0 10 20 30",
    "0 10 20 30 39",
    "0 10 20 30 38 39",
  ]);
  expect(cuts[0]?.omitted).toMatchObject({ tables: 40, rows: null });
  expect(cuts.find((cut) => cut?.tables.length === 6)?.omitted).toMatchObject({ tables: 34, rows: 643 });
});

test("a restored sequence stands between its readings, upwards or downwards", () => {
  const reading = (before: bigint | number, after: bigint | number) => ({
    ...{ schema: "s", name: "n", before: value(before), after: value(after) },
  });
  expect(isBetween(value(5), reading(5, 9))).toBe(true);
  expect(isBetween(value(9), reading(5, 9))).toBe(true);
  expect(isBetween(value(10), reading(5, 9))).toBe(false);
  expect(isBetween(value(4), reading(5, 9))).toBe(false);
  expect(isBetween(value(-2), reading(1, -3))).toBe(true);
  const [big, bigger] = [2n ** 63n - 2n, 2n ** 63n - 1n];
  expect(isBetween(value(big), reading(bigger, bigger))).toBe(false);
  expect(isBetween(value(1, false), { ...reading(1, 1), before: value(1, false) })).toBe(true);
  expect(
    isBetween(value(1, true), { ...reading(1, 1), after: value(1, false), before: value(1, false) }),
  ).toBe(false);
  expect(isBetween(value(1), { ...reading(1, 1), before: null })).toBeUndefined();
});
