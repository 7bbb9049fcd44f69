import { expect, test } from "bun:test";
import { compareFacts } from "./compare.ts";
import type { DumpFacts, TableCount } from "./facts.ts";
import { unknownFacts } from "./facts.ts";

function counted(name: string, rows: number, change: Partial<TableCount> = {}): TableCount {
  return { schema: "public", name, rows, method: "exact", why: null, ...change };
}

function factsOf(tables: TableCount[], change: Partial<DumpFacts> = {}): DumpFacts {
  return { ...unknownFacts(""), problem: null, tables, ...change };
}

const kinds = (before: DumpFacts, after: DumpFacts) =>
  compareFacts(before, after).changes.map(({ name, change }) => `${change} ${name}`);

test("tables are added, removed, changed or the same", () => {
  const before = factsOf([counted("gone", 5), counted("same", 7, { bytes: 10 }), counted("more", 1)]);
  const after = factsOf([counted("more", 4), counted("new", 2), counted("same", 7, { bytes: 10 })]);
  expect(compareFacts(before, after)).toMatchObject({
    unchanged: 1,
    changes: [
      { name: "gone", change: "removed", rows_before: 5, rows_after: null, note: null },
      { name: "more", change: "changed", rows_before: 1, rows_after: 4, is_estimated: false },
      { name: "new", change: "added", rows_before: null, rows_after: 2 },
    ],
  });
});

test("a table of the same name in another schema is another table", () => {
  expect(kinds(factsOf([counted("t", 1)]), factsOf([counted("t", 1, { schema: "other" })]))).toEqual([
    "added t",
    "removed t",
  ]);
});

test("a size changes a table only if both are known", () => {
  const sized = factsOf([counted("t", 1, { bytes: 8192 })]);
  expect(kinds(sized, factsOf([counted("t", 1, { bytes: 16_384 })]))).toEqual(["changed t"]);
  expect(kinds(sized, factsOf([counted("t", 1)]))).toEqual([]);
});

test("an estimate changes a table only beyond its margin", () => {
  const before = factsOf([counted("t", 1000, { method: "sampled", margin: 60 })]);
  const other = (rows: number) => factsOf([counted("t", rows, { method: "sampled", margin: 40 })]);
  expect(kinds(before, other(1100))).toEqual([]);
  expect(compareFacts(before, other(1101)).changes).toMatchObject([
    { change: "changed", is_estimated: true },
  ]);
});

test("what is not known is not called a change", () => {
  const uncounted = counted("t", 0, { rows: null, method: "not_counted", why: "locked" });
  expect(compareFacts(factsOf([counted("t", 1)]), factsOf([uncounted])).changes).toMatchObject([
    { change: "unknown", note: "not counted: locked" },
  ]);
  const omitted = { tables: 3, rows: 9, sequences: 0, invalid_indexes: 0, unvalidated_constraints: 0 };
  expect(compareFacts(factsOf([], { omitted }), factsOf([counted("t", 1)])).changes).toMatchObject([
    { change: "unknown", note: "the list of the other backup is not complete" },
  ]);
  expect(kinds(factsOf([counted("t", 1)]), factsOf([], { problem: "the connection was lost" }))).toEqual([
    "unknown t",
  ]);
});

test("a table that the config left out of one dump says so", () => {
  const left_out = {
    ...{ key: "k", settings: {}, schema_only: false, options: [], tables_omitted: 0, rows_of: [] },
    ...{ rows_of_omitted: 0, large_objects: false, extensions: false, unmatched: [] },
    tables: [{ schema: "public", name: "log" }],
  };
  expect(compareFacts(factsOf([counted("log", 1)]), factsOf([], { left_out })).changes).toMatchObject([
    { change: "removed", note: "left out of the other dump by the config" },
  ]);
});

test("numbers of objects that differ", () => {
  const numbers = {
    ...{ tables: 1, indexes: 2, constraints: 3, functions: 4, triggers: 5 },
    ...{ extensions: 6, sequences: 7, views: 8, large_objects: 9 },
  };
  const one = factsOf([], { numbers });
  expect(compareFacts(one, factsOf([], { numbers: { ...numbers, indexes: 0 } })).numbers).toEqual([
    { name: "indexes", before: 2, after: 0 },
  ]);
  expect(compareFacts(one, factsOf([])).numbers).toEqual([]);
});
