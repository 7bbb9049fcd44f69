import { messageOf } from "../../base/errors.ts";
import type { RunOutcome } from "../../catalog/records.ts";
import type { RowCounter } from "../../postgres/archive/data.ts";
import type { ArchiveContents, ArchiveEntry } from "../../postgres/archive/format.ts";
import { quoteQualified } from "../../postgres/archive/sql-text.ts";
import type { StatementLimit } from "../../postgres/bounded-connection.ts";
import { connectWithin } from "../../postgres/bounded-connection.ts";
import type { Endpoint } from "../../postgres/connection.ts";
import type { DumpFacts } from "../../postgres/counts/facts.ts";
import type { JobContext } from "../context.ts";
import { globalsNotMade } from "./globals-not-made.ts";
import type { EmptyTable, RestoreReport, RestoreRequest } from "./report.ts";

type Came = Pick<
  RestoreReport,
  "errors_ignored" | "tables" | "rows" | "left_out" | "empty_tables" | "globals"
>;

/** How a restore ended that should have brought this number of tables. */
export function outcomeOf(
  { errors_ignored, tables, rows, left_out, empty_tables, globals }: Came,
  expected: number,
): { outcome: RunOutcome; error: string | null } {
  // Rows may have come into tables that existed.
  if (tables === 0 && expected > 0 && (rows ?? 0) === 0)
    return {
      outcome: "FAILED",
      error: "no table came back: pg_restore reported an error about each of them",
    };
  const isPartial = errors_ignored + left_out.length + empty_tables.length + globalsNotMade(globals) > 0;
  return { outcome: isPartial ? "PARTIAL" : "OK", error: null };
}

/**
 * The restored tables that hold no row in the target, although the backup recorded some or pg_restore sent some: a
 * trigger or an error has kept them out. Tables that are restored without their rows do not count. Waits for locks of
 * others no longer than the restore does.
 */
export async function emptyTables(
  { log, config, signal }: Pick<JobContext, "log" | "config" | "signal">,
  { target, facts }: Pick<RestoreRequest, "target"> & { facts: DumpFacts | undefined },
  contents: ArchiveContents,
  entries: readonly ArchiveEntry[],
  counter: Pick<RowCounter, "rowsOf">,
): Promise<EmptyTable[]> {
  const counted = new Map(
    facts?.tables.map(({ schema, name, rows }) => [keyOf({ namespace: schema, tag: name }), rows]),
  );
  const restored = new Set(entries.map(({ id }) => id));
  const isData = ({ description }: ArchiveEntry) => description === "TABLE DATA";
  const withoutRows = new Set(
    contents.entries.filter((entry) => isData(entry) && !restored.has(entry.id)).map(keyOf),
  );
  const recorded = new Map<string, EmptyTable>();
  for (const entry of entries) {
    if (!isData(entry) && entry.description !== "TABLE") continue;
    const key = keyOf(entry);
    if (withoutRows.has(key)) continue;
    const rows_recorded = counted.get(key) ?? counter.rowsOf([entry]) ?? 0;
    if (rows_recorded > 0) recorded.set(key, { table: `${entry.namespace}.${entry.tag}`, rows_recorded });
  }
  if (recorded.size === 0) return [];
  const limit = { signal, timeoutMs: config.dump.lock_wait_timeout_ms };
  try {
    const empty = await withoutPages(target, limit, [...recorded.keys()]);
    return empty.flatMap((name) => recorded.get(name) ?? []);
  } catch (error) {
    // The restore itself has succeeded.
    log.warning("restored tables could not be checked for rows", { error: messageOf(error) });
    return [];
  }
}

/** Which of the tables have no page, and so not one row. */
async function withoutPages(
  target: Endpoint,
  limit: StatementLimit,
  names: readonly string[],
): Promise<string[]> {
  await using connection = await connectWithin(target, limit);
  const empty = await connection.run(
    "look for tables without rows",
    (sql) => sql<{ name: string }[]>`
      select name from json_array_elements_text(${JSON.stringify(names)}::text::json) as asked (name)
      where pg_relation_size(to_regclass(name)) = 0`,
  );
  return empty.map(({ name }) => name);
}

function keyOf({ namespace = "", tag }: Pick<ArchiveEntry, "namespace" | "tag">): string {
  return quoteQualified(namespace, tag);
}
