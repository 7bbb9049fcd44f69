import { plural, sizeText } from "../../base/text/amounts.ts";
import { quoteLiteral, quoteQualified } from "../archive/sql-text.ts";
import type { Connection } from "../connection.ts";
import type { SelectedTables } from "../selected-tables.ts";
import type { SequenceValue, TableCount } from "./facts.ts";
import { inSubtransaction, isRefusal } from "./session.ts";
import type { DumpedSequence, DumpedTable } from "./tables.ts";

/** Pages that a sample of a large table reads. */
const SAMPLE_BYTES = 64 * 1024 * 1024;
/** The margin of an estimate, in standard deviations. */
const DEVIATIONS = 4;
const SEQUENCES_AT_ONCE = 100;

export interface CountLimits {
  /** Larger tables are sampled; 0: no table is. */
  maxBytes: number;
  /** Its reason is an `Error` whose message tells why the counts ended; the rest is not counted. */
  signal: AbortSignal;
  /** What the dump contains; undefined: everything. */
  selected?: SelectedTables | undefined;
}

/**
 * Counts the tables one after another, each only if it can be locked at once. Never throws: a table that could not be
 * counted has the reason. `onCount` gets each result as soon as it is known.
 */
export async function countTables(
  connection: Connection,
  tables: readonly DumpedTable[],
  limits: CountLimits,
  onCount: (table: TableCount) => void,
): Promise<void> {
  let ended: string | undefined;
  for (const table of tables) {
    try {
      if (ended !== undefined) onCount(notCounted(table, ended));
      else onCount(await countTable(connection, table, limits));
    } catch (error) {
      const { why, isEnd } = failureOf(error, limits.signal);
      if (isEnd) ended = why;
      onCount(notCounted(table, why));
    }
  }
}

function failureOf(error: unknown, signal: AbortSignal): { why: string; isEnd: boolean } {
  if (signal.aborted) return { why: (signal.reason as Error).message, isEnd: true };
  if (isRefusal(error)) return { why: error.why, isEnd: error.isLost };
  return { why: (error as Error).message, isEnd: false };
}

function notCounted({ schema, name }: DumpedTable, why: string): TableCount {
  return { schema, name, rows: null, method: "not_counted", why };
}

interface CountedRow {
  /** Null: the table is too large. */
  rows: string | null;
  bytes: string;
  /** With its TOAST. */
  table_bytes: string;
  filenode: string;
  is_same: boolean;
}

async function countTable(
  connection: Connection,
  table: DumpedTable,
  { maxBytes, signal }: CountLimits,
): Promise<TableCount> {
  signal.throwIfAborted();
  const { oid, schema, name } = table;
  const count = `(select count(*) ${source(table)})`;
  const rows = maxBytes === 0 ? count : `case when pg_relation_size(${oid}) <= ${maxBytes} then ${count} end`;
  // After the end of pg_dump another table may get this name, or TRUNCATE may empty it, which every snapshot sees.
  const [found] = await inSubtransaction<CountedRow>(
    connection,
    `select (${rows})::text as rows, pg_relation_size(${oid})::text as bytes,
      pg_table_size(${oid})::text as table_bytes,
      coalesce(pg_relation_filenode(${oid}), 0)::int8::text as filenode,
      ${quoteLiteral(quoteQualified(table.schema, table.name))}::regclass::oid = ${oid} as is_same`,
    signal,
  );
  if (!found?.is_same || Number(found.filenode) !== table.filenode)
    return notCounted(table, "it was replaced, truncated or rewritten after the dump");
  const bytes = Number(found.table_bytes);
  if (found.rows !== null)
    return { schema, name, rows: Number(found.rows), method: "exact", why: null, bytes };
  const sample = await sampleTable(connection, table, { maxBytes, signal }, Number(found.bytes));
  return sample.rows === null ? sample : { ...sample, bytes };
}

/**
 * Every page is in the sample with the same probability p: rows/p is the estimate, and its variance follows from the
 * differences between the pages.
 */
async function sampleTable(
  connection: Connection,
  table: DumpedTable,
  { maxBytes, signal }: CountLimits,
  bytes: number,
): Promise<TableCount> {
  const percent = Math.min(100, (SAMPLE_BYTES / bytes) * 100).toFixed(6);
  const p = Number(percent) / 100;
  const [found] = await inSubtransaction<{ rows: string; squares: string; filenode: string }>(
    connection,
    `select coalesce(sum(n), 0)::text as rows, coalesce(sum(n * n), 0)::text as squares,
      coalesce(pg_relation_filenode(${table.oid}), 0)::int8::text as filenode
      from (select count(*) as n ${source(table, `tablesample system (${percent})`)}
        group by (ctid::text::point)[0]) page`,
    signal,
  );
  if (!found || Number(found.filenode) !== table.filenode)
    return notCounted(table, "it was replaced, truncated or rewritten after the dump");
  const { schema, name } = table;
  return {
    ...{ schema, name, rows: Math.round(Number(found.rows) / p), method: "sampled" },
    why: `${sizeText(bytes)} are more than dump.count_max_bytes (${sizeText(maxBytes)}): estimated from ${percent} % of its pages`,
    margin: Math.ceil((DEVIATIONS * Math.sqrt((1 - p) * Number(found.squares))) / p),
  };
}

/** The rows that pg_dump dumps. */
function source(table: DumpedTable, sample = ""): string {
  return `from only ${quoteQualified(table.schema, table.name)} ${sample} ${table.condition ?? ""}`;
}

/** The sequences' values, in their order; null for those that could not be read. Never throws. */
export async function readSequences(
  connection: Connection,
  sequences: readonly DumpedSequence[],
  signal: AbortSignal,
): Promise<(SequenceValue | null)[]> {
  const values: (SequenceValue | null)[] = [];
  for (let at = 0; at < sequences.length; at += SEQUENCES_AT_ONCE) {
    const some = sequences.slice(at, at + SEQUENCES_AT_ONCE);
    const together = await readTogether(connection, some, signal).catch(() => undefined);
    if (together) values.push(...together);
    // One of them is locked, or was dropped.
    else
      for (const one of some) {
        const [value] = await readTogether(connection, [one], signal).catch(() => []);
        values.push(value ?? null);
      }
  }
  return values;
}

async function readTogether(
  connection: Connection,
  sequences: readonly DumpedSequence[],
  signal: AbortSignal,
): Promise<SequenceValue[]> {
  signal.throwIfAborted();
  const each = sequences.map(
    (one, place) =>
      `select ${place} as place, last_value::text, is_called from ${quoteQualified(one.schema, one.name)}`,
  );
  const rows = await inSubtransaction<SequenceValue & { place: number }>(
    connection,
    `${each.join(" union all ")} order by place`,
    signal,
  );
  if (rows.length !== sequences.length) throw new Error(`${plural(rows.length, "row")} of sequences`);
  return rows.map(({ last_value, is_called }) => ({ last_value, is_called }));
}
