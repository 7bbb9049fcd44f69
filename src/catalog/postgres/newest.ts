import { believedUntil } from "../../base/newest-good.ts";
import type { BackupRecord, RunRecord } from "../records.ts";
import {
  COPIED,
  END_OF_TIME,
  NEWEST_BACKUP,
  NEWEST_RUN,
  NEWEST_RUN_OF_SCHEDULE,
} from "../sqlite/newest/newest.ts";
import { runsOf } from "../sqlite/statements.ts";
import { BACKUPS, fromRow, type Row, RUNS } from "../sqlite/tables.ts";
import type { Transaction } from "./transactions.ts";

/** The rule of `base/newest-good.ts`, in the same steps as in SQLite: see `sqlite/newest.ts`. */

export async function newestBackup(
  transaction: Transaction,
  which: keyof typeof NEWEST_BACKUP,
  place: { server: string; database: string },
  now: Date,
): Promise<BackupRecord | undefined> {
  const row = await newest(transaction, NEWEST_BACKUP[which], place, now);
  return row && fromRow(BACKUPS, row);
}

export async function newestRun(
  transaction: Transaction,
  of: { job: string; outcome: string; host?: string },
  now: Date,
): Promise<RunRecord | undefined> {
  const row = await newest(transaction, runsOf(NEWEST_RUN, of.host), of, now);
  return row && fromRow(RUNS, row);
}

/** The newest by the time it was due. */
export async function newestRunOf(
  transaction: Transaction,
  of: { schedule: string; host?: string },
  now: Date,
): Promise<RunRecord | undefined> {
  const row = await newest(transaction, runsOf(NEWEST_RUN_OF_SCHEDULE, of.host), of, now);
  return row && fromRow(RUNS, row);
}

/** Start of the newest backup with a confirmed copy in a storage; null: there is none. */
export async function newestCopied(
  transaction: Transaction,
  place: { server: string; database: string; storage: string },
  now: Date,
): Promise<string | null> {
  const row = await newest(transaction, COPIED, place, now);
  return row === undefined ? null : String(row["started_at"]);
}

async function newest({ rows }: Transaction, sql: string, values: Row, now: Date): Promise<Row | undefined> {
  const first = async (until: string) => (await rows(sql, { ...values, until }))[0];
  return (await first(believedUntil(now).toISOString())) ?? (await first(END_OF_TIME));
}
