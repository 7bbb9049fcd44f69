import type { StorageRecord } from "../../overview.ts";

interface StorageRow extends StorageRecord {
  host: string;
}

/**
 * The rows of a host: its own checks, and those without a host, which count the failed copies of all hosts and have the
 * checks from before hosts had their own. Without a host: all rows.
 */
export const CHECKS = "SELECT * FROM storages WHERE host IN ('', $host) OR $host = ''";
/** The host that this check was made by has its own from now on. */
export const DROP_NAMELESS_CHECK = `UPDATE storages
  SET checked_at = NULL, check_error = NULL, free_bytes = NULL, total_bytes = NULL
  WHERE host = '' AND name = $name AND $host <> '' AND checked_at IS NOT NULL`;

/** One record of each storage, from the rows of `CHECKS`: with the check of the host itself, otherwise the last one. */
export function storageRecords(rows: readonly StorageRow[], host: string): StorageRecord[] {
  const rank = (row: StorageRow) =>
    row.checked_at === null ? "" : `${row.host === host ? 1 : 0} ${row.checked_at}`;
  const all = [...rows].sort((a, b) => compare(a.name, b.name) || compare(rank(b), rank(a)));
  return [...Map.groupBy(all, ({ name }) => name).values()].map(([first, ...others]) => {
    const { host: _, ...record } = first as StorageRow;
    for (const { errors, last_error, last_error_at } of others) {
      record.errors += errors;
      if ((last_error_at ?? "") > (record.last_error_at ?? ""))
        Object.assign(record, { last_error, last_error_at });
    }
    return record;
  });
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
