import type { RunJob } from "../config/config.ts";
import type { BackupRecord, CopyRecord, RunOutcome, RunRecord } from "./records.ts";

/** A database that is, or once was, to be backed up. */
export interface DatabaseRecord {
  server: string;
  database: string;
  first_seen_at: string;
  last_seen_at: string;
  /** When it was first found missing on its server or in the config; null while it exists. */
  gone_at: string | null;
}

/** What the catalog knows of a storage besides its copies. */
export interface StorageRecord {
  name: string;
  /** When this host last checked it; null: never. */
  checked_at: string | null;
  /** Why that check failed; null if it did not. */
  check_error: string | null;
  /** Of its file system, if it has one. */
  free_bytes: number | null;
  total_bytes: number | null;
  /** Number of failures of its copies, of all hosts, and of its checks by this host. */
  errors: number;
  last_error: string | null;
  last_error_at: string | null;
}

/** The result of a check of a storage. */
export type StorageLook = Pick<StorageRecord, "checked_at" | "check_error" | "free_bytes" | "total_bytes">;

/** The confirmed copies of one database in one storage. */
export interface CopyTotal {
  server: string;
  database: string;
  storage: string;
  copies: number;
  /** Bytes of the stored objects. */
  bytes: number;
  /** When the newest backup with such a copy began; null if there is none. */
  newest_started_at: string | null;
}

export interface RunTotal {
  job: RunJob;
  /** Never RUNNING. */
  outcome: RunOutcome;
  runs: number;
}

/** The latest results of a database's backups. */
export interface LatestBackups {
  server: string;
  database: string;
  /** The newest good backup; null if there is none. */
  good: BackupRecord | null;
  /** The newest backup that has ended, whatever its status; null if there is none. */
  ended: BackupRecord | null;
}

/** The few fields of a backup that a report of very many databases needs. */
export type StandingBackup = Pick<
  BackupRecord,
  "id" | "kind" | "host" | "status" | "started_at" | "finished_at" | "dump_bytes" | "object_bytes" | "error"
>;

/** The fields of a copy that a report needs. */
export type StandingCopy = Pick<
  CopyRecord,
  "storage" | "state" | "confirmed_at" | "locked_until" | "lock_mode" | "lock_error" | "lock_place"
>;

/** `LatestBackups` without what a report does not show. */
export interface Standing {
  server: string;
  database: string;
  good: (StandingBackup & StandingGood) | null;
  ended: StandingBackup | null;
}

export interface StandingGood {
  /** `left_out` of its facts; null: there is none. */
  left_out: unknown;
  /** In order of storage name. */
  copies: StandingCopy[];
}

/** The data for a chart of a database's backups over time. */
export type BackupPoint = Pick<
  BackupRecord,
  "id" | "status" | "started_at" | "finished_at" | "dump_bytes" | "object_bytes"
>;

/** The backups of a database that began on one day, in UTC, and have ended. */
export interface BackupDay {
  /** `2026-11-23` */
  day: string;
  /** Numbers of backups by status; FAILED and INTERRUPTED are both failed. */
  verified: number;
  partial: number;
  failed: number;
  /** The largest dump; null if no backup was good. */
  dump_bytes: number | null;
}

/** The latest results of a job's runs. */
export interface LatestRuns {
  job: RunJob;
  /** The newest run that has ended, whatever its outcome; skipped runs do not count. */
  ended: RunRecord;
  /** The newest run that ended as OK; null if there is none. */
  ok: RunRecord | null;
}

/** The latest results of a schedule's runs. */
export interface ScheduleRuns {
  /** The newest run that has ended, not counting skipped ones; null if there is none. */
  ended: RunRecord | null;
  /** Number of runs skipped since the newest one that was not. */
  skipped: number;
}

/** The notices to one notifier that were not delivered yet. */
export interface NoticeTotals {
  /** Notices that wait to be sent, or for another attempt. */
  waiting: number;
  /** When the oldest of them was queued; null if none waits. */
  waiting_since: string | null;
  /** Notices that were given up after the last one that was delivered. */
  given_up: number;
  /** Why a notice waits for another attempt, or else why the last one was given up; null if there is no such notice. */
  error: string | null;
  last_delivered_at: string | null;
}

/**
 * The data behind `/status` and the metrics: schedules, databases and storages as last seen, and totals over the
 * records. No call takes longer the more records there are. "Newest" follows the rule of `base/newest-good.ts`.
 * Errors are those of `Catalog`.
 */
export interface Overview {
  /**
   * Records the pattern of a schedule. Returns since when it has had this pattern: runs due before that time are
   * not missed.
   */
  seeSchedule(name: string, pattern: string, at: string): Promise<string>;
  /**
   * Records the databases of a server that are to be backed up; the others recorded for this server are marked as
   * gone.
   */
  seeDatabases(server: string, databases: readonly string[], at: string): Promise<void>;
  /** In order of server and name. */
  databases(): Promise<DatabaseRecord[]>;
  /** `host`, here and below: by this host of a shared catalog, which may reach what others do not. */
  seeStorage(name: string, look: StorageLook, host?: string): Promise<void>;
  /** In order of name. Without a host: as the host saw each that checked it last. */
  storages(host?: string): Promise<StorageRecord[]>;
  /** In order of server, database and storage; only databases and storages that have, or had, a copy. */
  copyTotals(now: Date): Promise<CopyTotal[]>;
  /** Since the catalog was created, including runs whose records were pruned. In order of job and outcome. `host`: only its own. */
  runTotals(host?: string): Promise<RunTotal[]>;
  /** For every database that has a backup, in order of server and name. */
  latestBackups(now: Date): Promise<LatestBackups[]>;
  /**
   * The same databases and backups, with their copies, for a report: read from a table of the latest backups, some hundred
   * databases at a time, giving way to other work in between.
   */
  standings(now: Date): Promise<Standing[]>;
  /** The last backups of a database that have ended, whatever their status; newest first, at most `limit`. */
  recentBackups(server: string, database: string, limit: number): Promise<BackupPoint[]>;
  /** The days since `since` on which a database had backups, in order; at most 366. */
  backupDays(server: string, database: string, since: string): Promise<BackupDay[]>;
  /**
   * Sizes of the good dumps of a database, kind and selection (`left_out.key` of the facts; empty: everything) that began
   * at `since` or later and before `before`; newest first, at most `limit` of the newest 100 of any selection.
   */
  dumpSizes(
    of: Pick<BackupRecord, "server" | "database" | "kind">,
    range: { since: string; before: string; limit: number; selection: string },
  ): Promise<number[]>;
  /**
   * The newest run, by `scheduled_for`, that a schedule started or skipped; none due after `until`. `host`, here and below:
   * only runs of this host.
   */
  lastScheduled(schedule: string, until?: string, host?: string): Promise<RunRecord | undefined>;
  /** For every job with a run that has ended, in order of job. */
  latestRuns(now: Date, host?: string): Promise<LatestRuns[]>;
  scheduleRuns(schedule: string, now: Date, host?: string): Promise<ScheduleRuns>;
  /** "Last" is in the order in which the notices were queued. `host`: only notices that this host sends. */
  noticeTotals(notifier: string, host?: string): Promise<NoticeTotals>;
}
