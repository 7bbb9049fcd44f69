import type { Job } from "../config/config.ts";
import type { BackupRecord, RunOutcome, RunRecord } from "./records.ts";

/** A database that was once there to be backed up. */
export interface DatabaseRecord {
  server: string;
  database: string;
  first_seen_at: string;
  last_seen_at: string;
  /** When its server, or the config, first did not have it any more; null while it is there. */
  gone_at: string | null;
}

/** What is known of a storage beyond its copies. */
export interface StorageRecord {
  name: string;
  /** When it was looked at last; null: never. */
  checked_at: string | null;
  /** Why that look failed; null where it did not. */
  check_error: string | null;
  /** Of its file system, where it has one. */
  free_bytes: number | null;
  total_bytes: number | null;
  /** How often a copy in it failed, or a look at it. */
  errors: number;
  last_error: string | null;
  last_error_at: string | null;
}

/** What a look at a storage has shown. */
export type StorageLook = Pick<StorageRecord, "checked_at" | "check_error" | "free_bytes" | "total_bytes">;

/** The confirmed copies of one database in one storage. */
export interface CopyTotal {
  server: string;
  database: string;
  storage: string;
  copies: number;
  /** As stored. */
  bytes: number;
  /** When the newest backup began that has one; null where there is none. */
  newest_started_at: string | null;
}

export interface RunTotal {
  job: Job;
  /** RUNNING is not among them. */
  outcome: RunOutcome;
  runs: number;
}

/** The latest of what a database's backups came to. */
export interface LatestBackups {
  server: string;
  database: string;
  /** The newest good one; null where there is none. */
  good: BackupRecord | null;
  /** The newest one that has ended, whatever became of it; null where there is none. */
  ended: BackupRecord | null;
}

/** What a picture of a database's backups over time is drawn from. */
export type BackupPoint = Pick<
  BackupRecord,
  "id" | "status" | "started_at" | "finished_at" | "dump_bytes" | "object_bytes"
>;

/** What the runs of a job came to. */
export interface LatestRuns {
  job: Job;
  /** The newest one that has ended, whatever became of it; those that were skipped are none. */
  ended: RunRecord;
  /** The newest one that ended as OK; null where there is none. */
  ok: RunRecord | null;
}

/** What the runs of a schedule came to. */
export interface ScheduleRuns {
  /** The newest one that has ended, those that were skipped left out; null where there is none. */
  ended: RunRecord | null;
  /** How many were skipped since the newest one that was not. */
  skipped: number;
}

/**
 * What `/status` and the metrics are made of: what was seen of schedules, databases and storages, and sums over
 * the records, none of which takes longer the more records there are. What is newest is so by the rule of
 * `base/newest-good.ts`. Errors as those of `Catalog`.
 */
export interface Overview {
  /**
   * Remembers the pattern of a schedule. Returns since when it has this one: nothing that was due before
   * that was missed.
   */
  seeSchedule(name: string, pattern: string, at: string): Promise<string>;
  /** The databases of a server that are to be backed up; the others that it had are gone. */
  seeDatabases(server: string, databases: readonly string[], at: string): Promise<void>;
  /** In order of server and name. */
  databases(): Promise<DatabaseRecord[]>;
  seeStorage(name: string, look: StorageLook): Promise<void>;
  /** In order of name. */
  storages(): Promise<StorageRecord[]>;
  /** In order of server, database and storage; only databases and storages that have, or had, a copy. */
  copyTotals(now: Date): Promise<CopyTotal[]>;
  /** Since the beginning, also of runs whose records were pruned. In order of job and outcome. */
  runTotals(): Promise<RunTotal[]>;
  /** For every database that has a backup, in order of server and name. */
  latestBackups(now: Date): Promise<LatestBackups[]>;
  /** The last backups of a database that have ended, whatever became of them; newest first, at most `limit`. */
  recentBackups(server: string, database: string, limit: number): Promise<BackupPoint[]>;
  /**
   * Sizes of the good dumps of a database and kind that began before `before`, and not before `since`; newest first,
   * at most `limit`.
   */
  dumpSizes(
    of: Pick<BackupRecord, "server" | "database" | "kind">,
    range: { since: string; before: string; limit: number },
  ): Promise<number[]>;
  /** The newest run that a schedule began, or was to begin, by `scheduled_for`; none that was due after `until`. */
  lastScheduled(schedule: string, until?: string): Promise<RunRecord | undefined>;
  /** For every job of which a run has ended, in order of job. */
  latestRuns(now: Date): Promise<LatestRuns[]>;
  scheduleRuns(schedule: string, now: Date): Promise<ScheduleRuns>;
}
