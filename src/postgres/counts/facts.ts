import * as v from "valibot";
import { leftOutSchema } from "./left-out.ts";
import type { DumpMoment } from "./moment.ts";
import { dumpMoment } from "./moment.ts";
import { dumpStreamsSchema } from "./streams.ts";

/**
 * The rows of one table: `exact` counts every row that the dump contains; `sampled` estimates them from a random part
 * of the table's pages, and the true number lies within `margin` of `rows` in all but one of some ten thousand cases;
 * `not_counted` has the reason in `why` instead.
 */
const tableCount = v.object({
  schema: v.string(),
  name: v.string(),
  rows: v.nullable(v.number()),
  method: v.picklist(["exact", "sampled", "not_counted"]),
  why: v.nullable(v.string()),
  margin: v.optional(v.number()),
  /** The table on the server's disk, TOAST included, indexes not; missing: not counted, or not recorded. */
  bytes: v.optional(v.number()),
});

/** `last_value` is a text: JSON readers lose digits of a bigint. */
const sequenceValue = v.object({ last_value: v.string(), is_called: v.boolean() });

/**
 * What pg_dump reads of a sequence is not in its snapshot: the dump has a value between these two. Null: not read.
 */
const sequenceReading = v.object({
  schema: v.string(),
  name: v.string(),
  before: v.nullable(sequenceValue),
  after: v.nullable(sequenceValue),
});

/** `table`: the table, or the domain of a constraint. */
const partOfTable = v.object({ schema: v.string(), table: v.string(), name: v.string() });

/** Numbers of the objects that a dump contains: without those of extensions and of the system. */
const numbers = v.object({
  tables: v.number(),
  indexes: v.number(),
  constraints: v.number(),
  functions: v.number(),
  triggers: v.number(),
  /** Without plpgsql, which every database has. */
  extensions: v.number(),
  sequences: v.number(),
  views: v.number(),
  large_objects: v.number(),
});

const dumpFactsSchema = v.object({
  /** Every table with data in the dump, by schema and name. */
  tables: v.array(tableCount),
  sequences: v.array(sequenceReading),
  /** Null: not read. */
  numbers: v.nullable(numbers),
  invalid_indexes: v.array(partOfTable),
  unvalidated_constraints: v.array(partOfTable),
  /** Why nothing, or not everything, could be read; null: everything was. */
  problem: v.nullable(v.string()),
  /** Missing: not known, or a backup of a version that did not record it. */
  moment: v.optional(dumpMoment),
  /** Missing: one stream, and `dump.jobs` did not ask for more; or a backup of a version that did not record it. */
  streams: v.optional(dumpStreamsSchema),
  /** What the config left out of the dump; missing: nothing. */
  left_out: v.optional(leftOutSchema),
  /** What was left out of the lists above because there was no room; see `cutFacts`. Missing: nothing. */
  omitted: v.optional(
    v.object({
      tables: v.number(),
      /** The sum of the rows of the omitted tables, all of which are counted exactly; null if some are not. */
      rows: v.nullable(v.number()),
      sequences: v.number(),
      invalid_indexes: v.number(),
      unvalidated_constraints: v.number(),
    }),
  ),
});

/** What was in the database when it was dumped: in the very snapshot of the dump, so that a restore can be compared. */
export type DumpFacts = v.InferOutput<typeof dumpFactsSchema>;
export type TableCount = DumpFacts["tables"][number];
export type SequenceReading = DumpFacts["sequences"][number];
export type SequenceValue = NonNullable<SequenceReading["before"]>;
export type ObjectNumbers = NonNullable<DumpFacts["numbers"]>;
export type PartOfTable = DumpFacts["invalid_indexes"][number];

/** The facts of a record or of a manifest's details; undefined if they are none that this version understands. */
export function parseFacts(value: unknown): DumpFacts | undefined {
  const result = v.safeParse(dumpFactsSchema, value);
  return result.success ? result.output : undefined;
}

/** Facts of a dump whose database could not be counted. */
export function unknownFacts(problem: string, moment?: DumpMoment): DumpFacts {
  return {
    tables: [],
    sequences: [],
    numbers: null,
    invalid_indexes: [],
    unvalidated_constraints: [],
    problem,
    ...(moment && { moment }),
  };
}

/** The sums over all tables, the omitted ones included. `rows` counts only tables that were counted. */
export interface RowTotals {
  rows: number;
  tables: number;
  exact: number;
  sampled: number;
  not_counted: number;
}

export function totalsOf({ tables, omitted }: DumpFacts): RowTotals {
  const rows = tables.reduce((sum, table) => sum + (table.rows ?? 0), omitted?.rows ?? 0);
  const of = (method: TableCount["method"]) => tables.filter((table) => table.method === method).length;
  const isExact = omitted !== undefined && omitted.rows !== null;
  return {
    rows,
    tables: tables.length + (omitted?.tables ?? 0),
    exact: of("exact") + (isExact ? omitted.tables : 0),
    sampled: of("sampled"),
    not_counted: of("not_counted") + (isExact ? 0 : (omitted?.tables ?? 0)),
  };
}

/**
 * Whether a restored sequence may stand at `found`: between the readings before and after the dump, whichever of them
 * is larger (a sequence may count down, start over, or be set). Undefined if one of the readings is missing.
 */
export function isBetween(found: SequenceValue, { before, after }: SequenceReading): boolean | undefined {
  if (before === null || after === null) return undefined;
  const next = ({ last_value, is_called }: SequenceValue) => BigInt(last_value) * 2n + (is_called ? 1n : 0n);
  const [one, other, at] = [next(before), next(after), next(found)];
  return one < other ? one <= at && at <= other : other <= at && at <= one;
}

/**
 * The facts as JSON of at most `bytesMax` bytes. If there are too many, entries are left out from the end of the lists
 * and counted in `omitted`: sequences first, then parts of tables, then tables, those with the fewest rows first. Tables
 * that are not counted exactly go last: without them the sum of the omitted rows is exact. What needs tables that were left
 * out, and the tables of extensions, get at most half of the room. The same facts are always cut in the same way. Undefined
 * if not even the numbers fit.
 */
export function cutFacts(facts: DumpFacts, bytesMax: number): DumpFacts | undefined {
  if (sizeOf(facts) <= bytesMax) return facts;
  const { tables, sequences, invalid_indexes, unvalidated_constraints } = facts;
  const ranked = [...tables].sort(
    (a, b) =>
      Number(a.method === "exact") - Number(b.method === "exact") ||
      (b.rows ?? 0) - (a.rows ?? 0) ||
      compare(a.schema, b.schema) ||
      compare(a.name, b.name),
  );
  const room = { bytes: bytesMax - OMITTED_BYTES - sizeOf(without(facts)) };
  if (room.bytes < 0) return undefined;
  const names = cutNames(facts, room);
  const kept = take(ranked, room);
  const chosen = new Set(kept);
  const left = ranked.slice(kept.length);
  const cut = {
    tables: tables.filter((table) => chosen.has(table)),
    invalid_indexes: take(invalid_indexes, room),
    unvalidated_constraints: take(unvalidated_constraints, room),
    sequences: take(sequences, room),
  };
  return {
    ...facts,
    ...names,
    ...cut,
    omitted: {
      tables: left.length,
      rows: left.every(({ method }) => method === "exact")
        ? left.reduce((sum, { rows }) => sum + (rows ?? 0), 0)
        : null,
      sequences: sequences.length - cut.sequences.length,
      invalid_indexes: invalid_indexes.length - cut.invalid_indexes.length,
      unvalidated_constraints: unvalidated_constraints.length - cut.unvalidated_constraints.length,
    },
  };
}

type Names = Pick<DumpFacts, "left_out" | "streams">;

/** With as many of their names as fit into half of the room; takes that. */
function cutNames({ left_out, streams }: Names, room: { bytes: number }): Names {
  const half = { bytes: Math.floor(room.bytes / 2) };
  room.bytes -= half.bytes;
  const dependents = take(left_out?.dependents ?? [], half);
  const extension_data = take(streams?.extension_data ?? [], half);
  room.bytes += half.bytes;
  const lost = (left_out?.dependents?.length ?? 0) - dependents.length;
  const dependents_omitted = (left_out?.dependents_omitted ?? 0) + lost;
  return {
    ...(left_out && {
      left_out: { ...left_out, ...(left_out.dependents && { dependents, dependents_omitted }) },
    }),
    ...(streams && { streams: { ...streams, ...(streams.extension_data && { extension_data }) } }),
  };
}

/** More than the JSON of `omitted` and `dependents_omitted` with their largest numbers. */
const OMITTED_BYTES = 320;

function without(facts: DumpFacts): DumpFacts {
  const names = cutNames(facts, { bytes: 0 });
  return { ...facts, ...names, tables: [], sequences: [], invalid_indexes: [], unvalidated_constraints: [] };
}

/** As many entries from the beginning of a list as there is room for; takes the room. */
function take<T>(entries: readonly T[], room: { bytes: number }): T[] {
  const taken: T[] = [];
  for (const entry of entries) {
    const bytes = sizeOf(entry) + ",".length;
    if (bytes > room.bytes) break;
    room.bytes -= bytes;
    taken.push(entry);
  }
  return taken;
}

const sizeOf = (value: unknown) => Buffer.byteLength(JSON.stringify(value));
const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
