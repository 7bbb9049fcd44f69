import type { DumpFacts, ObjectNumbers, TableCount } from "./facts.ts";

/** `unknown`: it was not counted in one of the two, or one list is too long to be complete. */
export type ChangeKind = "added" | "removed" | "changed" | "unknown";

/** One table that is not the same in two dumps. */
export interface TableChange {
  schema: string;
  name: string;
  change: ChangeKind;
  rows_before: number | null;
  rows_after: number | null;
  /** Whether one of these is an estimate. */
  is_estimated: boolean;
  /** On the server's disk, with TOAST and without indexes. */
  bytes_before: number | null;
  bytes_after: number | null;
  /** Why it is unknown, or why it is in one dump only; null: nothing to say. */
  note: string | null;
}

export interface FactsComparison {
  changes: TableChange[];
  /** Tables with the same number of rows and the same size. */
  unchanged: number;
  /** Numbers of objects that differ. */
  numbers: { name: keyof ObjectNumbers; before: number; after: number }[];
}

/** Compares what was counted in two dumps, table by table. The contents of rows are not known. */
export function compareFacts(before: DumpFacts, after: DumpFacts): FactsComparison {
  const others = new Map(after.tables.map((table) => [keyOf(table), table]));
  const changes: TableChange[] = [];
  let unchanged = 0;
  for (const table of before.tables) {
    const other = others.get(keyOf(table));
    others.delete(keyOf(table));
    const change = other ? changeOf(table, other) : goneFrom(after, table);
    if (change === undefined) unchanged++;
    else changes.push(change);
  }
  for (const table of others.values()) changes.push(newSince(before, table));
  return { changes: changes.sort(byName), unchanged, numbers: numbersOf(before, after) };
}

function keyOf({ schema, name }: { schema: string; name: string }): string {
  return JSON.stringify([schema, name]);
}

function byName(one: TableChange, other: TableChange): number {
  const [a, b] = [`${one.schema}\u0000${one.name}`, `${other.schema}\u0000${other.name}`];
  return a < b ? -1 : a > b ? 1 : 0;
}

function changeOf(one: TableCount, other: TableCount): TableChange | undefined {
  const made = (change: ChangeKind, note: string | null) => ({ ...bothOf(one, other), change, note });
  const uncounted = [one, other].find(({ rows }) => rows === null);
  if (uncounted || one.rows === null || other.rows === null)
    return made("unknown", `not counted: ${uncounted?.why ?? "no reason was recorded"}`);
  const margin = (one.margin ?? 0) + (other.margin ?? 0);
  const isLarger = Math.abs(one.rows - other.rows) > margin;
  const isResized = one.bytes !== undefined && other.bytes !== undefined && one.bytes !== other.bytes;
  return isLarger || isResized ? made("changed", null) : undefined;
}

function goneFrom(after: DumpFacts, table: TableCount): TableChange {
  return { ...bothOf(table, undefined), ...whyOnlyOne("removed", after, table) };
}

function newSince(before: DumpFacts, table: TableCount): TableChange {
  return { ...bothOf(undefined, table), ...whyOnlyOne("added", before, table) };
}

/** Why a table is not in the facts of the dump that lacks it. */
function whyOnlyOne(
  change: "added" | "removed",
  { omitted, left_out, problem }: DumpFacts,
  table: TableCount,
) {
  if (left_out?.tables.some((one) => keyOf(one) === keyOf(table)))
    return { change, note: "left out of the other dump by the config" };
  if (omitted !== undefined && omitted.tables > 0)
    return { change: "unknown", note: "the list of the other backup is not complete" } as const;
  if (problem !== null) return { change: "unknown", note: problem } as const;
  return { change, note: null };
}

function bothOf(one: TableCount | undefined, other: TableCount | undefined) {
  const { schema, name } = (one ?? other) as TableCount;
  return {
    ...{ schema, name, rows_before: one?.rows ?? null, rows_after: other?.rows ?? null },
    is_estimated: one?.method === "sampled" || other?.method === "sampled",
    ...{ bytes_before: one?.bytes ?? null, bytes_after: other?.bytes ?? null },
  };
}

function numbersOf(
  { numbers: before }: DumpFacts,
  { numbers: after }: DumpFacts,
): FactsComparison["numbers"] {
  if (before === null || after === null) return [];
  return (Object.keys(before) as (keyof ObjectNumbers)[])
    .map((name) => ({ name, before: before[name], after: after[name] }))
    .filter((one) => one.before !== one.after);
}
