import type { RowCounter } from "../../postgres/archive/data.ts";
import type { ArchiveEntry } from "../../postgres/archive/format.ts";

/**
 * The tables and materialized views that got none of the backup's rows because of an error, as `public.orders`:
 * pg_restore loads each with one statement. Without those that have no rows in the backup.
 */
export function unfilled(
  entries: readonly ArchiveEntry[],
  failed: ReadonlySet<number>,
  counter: Pick<RowCounter, "rowsOf">,
): string[] {
  return entries
    .filter(({ id }) => failed.has(id))
    .filter(
      (entry) =>
        entry.description === "MATERIALIZED VIEW DATA" ||
        (entry.description === "TABLE DATA" && counter.rowsOf([entry]) !== 0),
    )
    .map(({ namespace, tag }) => [...(namespace === undefined ? [] : [namespace]), tag].join("."));
}
