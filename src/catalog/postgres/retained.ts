import type { RetainedSnapshot } from "../catalog.ts";
import type { RetainedBackupRecord } from "../records.ts";
import { IS_NEEDED } from "../sqlite/retained.ts";
import { PLACES } from "../sqlite/statements.ts";
import { catalogError } from "./errors.ts";
import type { Transaction, Transactions } from "./transactions.ts";

const READING = "read the retained backups";
/**
 * Database by database, by steps from one to the next in the index. The names come in the order of the result, so only
 * the rows of one database are sorted at a time.
 */
const RETAINED = `SELECT place.server, place.database, backup.*
  FROM (${PLACES}) AS place CROSS JOIN LATERAL (
    SELECT id, host, status, started_at, held_at, hold_until, hold_reason, ${IS_NEEDED} AS needed,
      storage, state, copies.object_bytes, confirmed_at, locked_until, lock_mode, lock_error, lock_place
    FROM backups JOIN copies ON backup_id = id AND state IN ('CONFIRMED', 'DAMAGED', 'MISSING')
    WHERE server = place.server AND database = place.database) AS backup
  ORDER BY place.server, place.database, started_at DESC, id DESC, storage`;
/** Rows fetched at once before other work gets its turn. */
const BATCH = 500;

type Row = Omit<RetainedBackupRecord, "copies" | "is_needed"> &
  RetainedBackupRecord["copies"][number] & { needed: boolean };

/** Opens a snapshot: a session with one read transaction, which sees no later writes and makes none of them wait. */
export async function openRetained(
  transactions: Pick<Transactions, "snapshot" | "label">,
): Promise<RetainedSnapshot> {
  const snapshot = await transactions.snapshot(READING);
  let readings = 0;
  return {
    backups: () => backupsIn(snapshot, `retained_${++readings}`, transactions.label),
    [Symbol.asyncDispose]: () => snapshot[Symbol.asyncDispose](),
  };
}

/** `cursor`: a name that no other reading of the snapshot has. */
async function* backupsIn(
  snapshot: Transaction,
  cursor: string,
  label: string,
): AsyncGenerator<RetainedBackupRecord[]> {
  try {
    await snapshot.run(`DECLARE ${cursor} NO SCROLL CURSOR FOR ${RETAINED}`);
    let last: RetainedBackupRecord | undefined;
    for (;;) {
      const rows = await snapshot.rows<Row>(`FETCH ${BATCH} FROM ${cursor}`);
      // The last backup may have more copies among the next rows.
      const batch: RetainedBackupRecord[] = last ? [last] : [];
      for (const row of rows) {
        if (last?.id !== row.id) {
          last = backupOf(row);
          batch.push(last);
        }
        last.copies.push(copyOf(row));
      }
      if (rows.length < BATCH) {
        yield batch;
        return;
      }
      batch.pop();
      yield batch;
    }
  } catch (error) {
    throw catalogError(label, READING, error);
  } finally {
    await snapshot.run(`CLOSE ${cursor}`).catch(() => {});
  }
}

function backupOf(row: Row): RetainedBackupRecord {
  const { id, server, database, host, status, started_at, held_at, hold_until, hold_reason, needed } = row;
  const facts = { id, server, database, host, status, started_at, held_at, hold_until, hold_reason };
  return { ...facts, ...(needed && { is_needed: true as const }), copies: [] };
}

function copyOf(row: Row): RetainedBackupRecord["copies"][number] {
  const { storage, state, object_bytes, confirmed_at } = row;
  const { locked_until, lock_mode, lock_error, lock_place } = row;
  return { storage, state, object_bytes, confirmed_at, locked_until, lock_mode, lock_error, lock_place };
}
