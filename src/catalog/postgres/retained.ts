import type { RetainedSnapshot } from "../catalog.ts";
import type { RetainedBackupRecord } from "../records.ts";
import { RETAINED, type RetainedRow, retainedOf } from "../sqlite/retained.ts";
import type { Transaction, Transactions } from "./transactions.ts";

const READING = "read the retained backups";
/** Rows fetched at once before other work gets its turn. */
const BATCH = 500;

/** Opens a snapshot: a session with one read transaction, which sees no later writes and makes none of them wait. */
export async function openRetained(transactions: Pick<Transactions, "snapshot">): Promise<RetainedSnapshot> {
  const snapshot = await transactions.snapshot(READING);
  let readings = 0;
  return {
    backups: () => backupsIn(snapshot, `retained_${++readings}`),
    [Symbol.asyncDispose]: () => snapshot[Symbol.asyncDispose](),
  };
}

/** `cursor`: a name that no other reading of the snapshot has. */
async function* backupsIn(snapshot: Transaction, cursor: string): AsyncGenerator<RetainedBackupRecord[]> {
  try {
    await snapshot.run(`DECLARE ${cursor} NO SCROLL CURSOR FOR ${RETAINED}`);
    for (;;) {
      const rows = await snapshot.rows<RetainedRow>(`FETCH ${BATCH} FROM ${cursor}`);
      yield rows.map(retainedOf);
      if (rows.length < BATCH) return;
    }
  } finally {
    await snapshot.run(`CLOSE ${cursor}`).catch(() => {});
  }
}
