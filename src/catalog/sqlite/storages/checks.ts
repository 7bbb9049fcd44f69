import type { StorageRecord } from "../../overview.ts";

interface StorageRow extends StorageRecord {
  host: string;
}

/**
 * The rows of a host: its own checks, and those without a host, which count the failed copies of all hosts and have the
 * checks from before hosts had their own. Without a host: all rows. The check that counts comes first.
 */
export const CHECKS = `SELECT * FROM storages WHERE host IN ('', $host) OR $host = ''
  ORDER BY name, checked_at IS NULL, host <> $host, checked_at DESC`;
/** The host that this check was made by has its own from now on. */
export const DROP_NAMELESS_CHECK = `UPDATE storages
  SET checked_at = NULL, check_error = NULL, free_bytes = NULL, total_bytes = NULL
  WHERE host = '' AND name = $name AND $host <> '' AND checked_at IS NOT NULL`;

/** One record of each storage, from the rows of `CHECKS`. */
export function storageRecords(rows: readonly StorageRow[]): StorageRecord[] {
  return [...Map.groupBy(rows, ({ name }) => name).values()].map((of) => {
    const { host: _, ...record } = of[0] as StorageRow;
    for (const { errors, last_error, last_error_at } of of.slice(1)) {
      record.errors += errors;
      if ((last_error_at ?? "") > (record.last_error_at ?? ""))
        Object.assign(record, { last_error, last_error_at });
    }
    return record;
  });
}
