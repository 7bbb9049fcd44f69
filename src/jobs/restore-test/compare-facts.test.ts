import { expect, test } from "bun:test";
import type { DumpFacts, TableCount } from "../../postgres/counts/facts.ts";
import { unknownFacts } from "../../postgres/counts/facts.ts";
import { factChecks } from "./compare-facts.ts";

const TOLERATED = { tables: new Set<string>(), sequences: new Set<string>(), numbers: {} };
const counted = (name: string, rows: number): TableCount => ({
  ...{ schema: "public", name, rows, method: "exact", why: null },
});
const uncounted = (name: string): TableCount => ({
  ...{ schema: "public", name, rows: null, method: "not_counted", why: "locked" },
});
const facts = (...tables: TableCount[]): DumpFacts => ({ ...unknownFacts(""), tables, problem: null });
const rows = (recorded: DumpFacts | undefined, restored: DumpFacts) =>
  factChecks(recorded, restored, TOLERATED).find(({ name }) => name === "rows");

test("one row less is told with table and numbers", () => {
  expect(
    rows(
      facts(counted("orders", 1000), counted("items", 2)),
      facts(counted("orders", 999), counted("items", 2)),
    ),
  ).toEqual({
    ...{ name: "rows", is_ok: false },
    ...{ expected: "1,002 rows in 2 tables", found: "1,001 rows in 2 tables" },
    detail: "public.orders: 1,000 rows at the backup, 999 restored",
  });
});

test.each([
  ["nothing recorded", undefined],
  ["nothing counted", unknownFacts("the server allows no more connections")],
  ["every table locked", facts(uncounted("orders"), uncounted("items"))],
] as const)("with %s there is nothing to expect, and the check says why", (_, recorded) => {
  const check = rows(recorded, facts(counted("orders", 1), counted("items", 2)));
  expect(check).toMatchObject({ is_ok: true, expected: null, found: "3 rows in 2 tables" });
  expect(check?.detail).toMatch(/not recorded|no more connections|public\.orders \(locked\)/);
});

test("one table that was not counted leaves the others compared", () => {
  const recorded = facts(uncounted("orders"), counted("items", 2));
  expect(rows(recorded, facts(counted("orders", 1), counted("items", 2)))).toMatchObject({
    is_ok: true,
    expected: "2 rows in 2 tables",
  });
});

test("a sequence whose position was left out on purpose is no difference", () => {
  const after = { last_value: "7", is_called: true };
  const sequence = { schema: "cron", name: "jobid_seq", before: after, after };
  const recorded = { ...facts(), sequences: [sequence] };
  const checked = (sequences: string[]) =>
    factChecks(recorded, facts(), { ...TOLERATED, sequences: new Set(sequences) }).find(
      ({ name }) => name === "sequences",
    );
  expect(checked([])).toMatchObject({ is_ok: false, detail: "cron.jobid_seq: not restored" });
  expect(checked(["cron.jobid_seq"])).toMatchObject({ is_ok: true, detail: null });
});
