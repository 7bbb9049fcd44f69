import type { Database } from "bun:sqlite";
import { believedUntil } from "../../../base/newest-good.ts";
import type { BackupRecord, RunRecord } from "../../records.ts";
import { runsOf } from "../statements.ts";
import { BACKUPS, fromRow, type Row, RUNS } from "../tables.ts";

/**
 * The rule of `base/newest-good.ts` in SQL, by steps in an index: no query takes longer the more records there are.
 */

/** Sorts after every time in a record. */
export const END_OF_TIME = "9999";

const OF_DATABASE = "WHERE server = $server AND database = $database AND started_at <= $until";
const NEWEST_FIRST = "ORDER BY started_at DESC, id DESC LIMIT 1";
export const NEWEST_BACKUP = {
  /** VERIFIED or PARTIAL, with a CONFIRMED copy. */
  good: `SELECT * FROM backups ${OF_DATABASE} AND status IN ('VERIFIED', 'PARTIAL')
    AND EXISTS (SELECT 1 FROM copies WHERE backup_id = backups.id AND state = 'CONFIRMED') ${NEWEST_FIRST}`,
  ended: `SELECT * FROM backups ${OF_DATABASE} AND status <> 'RUNNING' ${NEWEST_FIRST}`,
} as const;
/** Answered by the index on job, outcome and time. */
export const NEWEST_RUN: string = `SELECT * FROM runs WHERE job = $job AND outcome = $outcome AND started_at <= $until ${NEWEST_FIRST}`;
export const NEWEST_RUN_OF_SCHEDULE: string = `SELECT * FROM runs WHERE schedule = $schedule AND outcome NOT IN ('RUNNING', 'SKIPPED')
  AND scheduled_for <= $until ORDER BY scheduled_for DESC, started_at DESC, id DESC LIMIT 1`;
export const COPIED: string = `SELECT started_at FROM backups ${OF_DATABASE}
  AND EXISTS (SELECT 1 FROM copies WHERE backup_id = backups.id AND storage = $storage AND state = 'CONFIRMED')
  ${NEWEST_FIRST}`;

export function newestBackup(
  database: Database,
  which: keyof typeof NEWEST_BACKUP,
  place: { server: string; database: string },
  now: Date,
): BackupRecord | undefined {
  const row = newest(database, NEWEST_BACKUP[which], place, now);
  return row && fromRow(BACKUPS, row);
}

export function newestRun(
  database: Database,
  of: { job: string; outcome: string; host?: string },
  now: Date,
): RunRecord | undefined {
  const row = newest(database, runsOf(NEWEST_RUN, of.host), of, now);
  return row && fromRow(RUNS, row);
}

/** The newest by the time it was due. */
export function newestRunOf(
  database: Database,
  of: { schedule: string; host?: string },
  now: Date,
): RunRecord | undefined {
  const row = newest(database, runsOf(NEWEST_RUN_OF_SCHEDULE, of.host), of, now);
  return row && fromRow(RUNS, row);
}

/** Start of the newest backup with a confirmed copy in a storage; null: there is none. */
export function newestCopied(
  database: Database,
  place: { server: string; database: string; storage: string },
  now: Date,
): string | null {
  const row = newest(database, COPIED, place, now);
  return row === undefined ? null : String(row["started_at"]);
}

function newest(database: Database, sql: string, values: Row, now: Date): Row | undefined {
  const query = database.query<Row, Row>(sql);
  const first = (until: string) => query.all({ ...values, until })[0];
  return first(believedUntil(now).toISOString()) ?? first(END_OF_TIME);
}
