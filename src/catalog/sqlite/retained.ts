import { Database } from "bun:sqlite";
import type { Clock } from "../../base/clock.ts";
import type { RetainedSnapshot } from "../catalog.ts";
import type { RetainedBackupRecord } from "../records.ts";
import { BUSY_TIMEOUT_MS, whileBusy } from "./busy.ts";
import { catalogError } from "./errors.ts";

const READING = "read the retained backups";
const IS_STORED = `EXISTS (SELECT 1 FROM copies WHERE backup_id = dumps.id AND state IN ('CONFIRMED', 'DAMAGED', 'MISSING'))`;
const IS_GOOD = `status IN ('VERIFIED', 'PARTIAL') AND unreadable IS NULL
      AND EXISTS (SELECT 1 FROM copies WHERE backup_id = other.id AND state = 'CONFIRMED')`;
/** When the next good globals of the server began. */
const NEXT_GLOBALS = `coalesce((SELECT started_at FROM backups AS other
    WHERE server = backups.server AND database = backups.database AND started_at > backups.started_at AND ${IS_GOOD}
    ORDER BY started_at LIMIT 1), '9999')`;
const IS_FIRST = `NOT EXISTS (SELECT 1 FROM backups AS other
    WHERE server = backups.server AND database = backups.database AND started_at < backups.started_at AND ${IS_GOOD})`;
/**
 * Whether globals are kept for a dump: of the same run, or, because a manifest names no run, the nearest before it. The
 * first of a server also serve the dumps from before.
 */
const IS_NEEDED = `(
    EXISTS (SELECT 1 FROM backups AS dumps WHERE run_id = backups.run_id AND server = backups.server
      AND kind = 'dump' AND ${IS_STORED})
    OR EXISTS (SELECT 1 FROM backups AS dumps INDEXED BY backups_by_time
      WHERE started_at >= backups.started_at AND started_at < ${NEXT_GLOBALS}
        AND server = backups.server AND kind = 'dump' AND ${IS_STORED})
    OR (${IS_FIRST} AND EXISTS (SELECT 1 FROM backups AS dumps INDEXED BY backups_by_time
      WHERE started_at < backups.started_at AND server = backups.server AND kind = 'dump' AND ${IS_STORED})))`;
/** In the order of the table's key, so nothing is sorted and nothing piles up. Both catalogs read it one row at a time. */
export const RETAINED: string = `SELECT server, database, id, host, status, started_at, held_at, hold_until, hold_reason, copies,
    kind = 'globals' AND (SELECT ${IS_NEEDED} FROM backups WHERE backups.id = retained_backups.id) AS needed
  FROM retained_backups WHERE copies IS NOT NULL
  ORDER BY server, database, started_at DESC, id DESC`;
/** Backups read at once before other work gets its turn. */
const BATCH = 250;

export type RetainedRow = Omit<RetainedBackupRecord, "copies" | "is_needed"> & {
  needed: 0 | 1 | boolean;
  copies: string;
};
type Copy = RetainedBackupRecord["copies"][number];
/** In the order of `COPY_VALUES` in `migration/retained-backups.ts`. */
type CopyValues = [
  ...[Copy["storage"], Copy["state"], Copy["object_bytes"], Copy["confirmed_at"]],
  ...[Copy["locked_until"], Copy["lock_mode"], Copy["lock_error"], Copy["lock_place"]],
];

/**
 * Opens a snapshot of the catalog at `path`: a separate connection with one read transaction, which sees no later
 * writes of this or other processes and makes none of them wait.
 */
export async function openRetained(path: string, clock: Clock): Promise<RetainedSnapshot> {
  const database = await whileBusy(path, READING, clock, () => {
    const opened = new Database(path, { readonly: true, strict: true });
    try {
      opened.run(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
      opened.run("BEGIN");
      // The transaction sees the state at its first read.
      opened.query("SELECT 1 FROM backups LIMIT 1").get();
      return opened;
    } catch (error) {
      opened.close();
      throw error;
    }
  });
  return {
    backups: () => backupsIn(database, path),
    async [Symbol.asyncDispose]() {
      database.close();
    },
  };
}

async function* backupsIn(database: Database, path: string): AsyncGenerator<RetainedBackupRecord[]> {
  try {
    let batch: RetainedBackupRecord[] = [];
    // Not cached: a cached statement whose loop was left early would continue in the middle.
    using rows = database.prepare<RetainedRow, []>(RETAINED);
    for (const row of rows.iterate()) {
      if (batch.length >= BATCH) {
        yield batch;
        await new Promise((resolve) => setImmediate(resolve));
        batch = [];
      }
      batch.push(retainedOf(row));
    }
    yield batch;
  } catch (error) {
    throw catalogError(path, READING, error);
  }
}

export function retainedOf(row: RetainedRow): RetainedBackupRecord {
  const { id, server, database, host, status, started_at, held_at, hold_until, hold_reason } = row;
  const copies = (JSON.parse(row.copies) as CopyValues[]).map(
    ([
      storage,
      state,
      object_bytes,
      confirmed_at,
      locked_until,
      lock_mode,
      lock_error,
      lock_place,
    ]): Copy => ({
      storage,
      state,
      object_bytes,
      confirmed_at,
      locked_until,
      lock_mode,
      lock_error,
      lock_place,
    }),
  );
  const record: RetainedBackupRecord = {
    id,
    server,
    database,
    host,
    status,
    started_at,
    held_at,
    hold_until,
    hold_reason,
    copies,
  };
  if (row.needed) record.is_needed = true;
  return record;
}
