import type { BackupStatus, RunOutcome } from "../catalog/records.ts";
import type { AlertLevel, Job } from "../config/config.ts";

/*
 * What `/status`, the page, the metrics and `pg321 status` show. Plain JSON: snake_case, times as RFC 3339 UTC
 * text, sizes in bytes, durations in milliseconds; null where nothing is known. No secret in any field.
 */

export interface StatusReport {
  version: string;
  commit: string;
  host: string;
  /** Empty: nothing has run yet. */
  installation: string;
  /** When this was put together. */
  now: string;
  timezone: string;
  /** Null: told from the catalog, no daemon was asked. */
  daemon: DaemonStatus | null;
  jobs: JobStatus[];
  schedules: ScheduleStatus[];
  running: RunningStatus[];
  databases: DatabaseStatus[];
  storages: StorageStatus[];
  /** Those that are open, newest first. */
  alerts: AlertStatus[];
}

export interface DaemonStatus {
  pid: number;
  started_at: string;
  uptime_ms: number;
  config_file: string;
  /** Hex SHA-256 of the config file that is in force. */
  config_checksum: string;
  /** The last SIGHUP; null: there was none. */
  last_reload: ReloadStatus | null;
  /** Whether it waits for the last runs to end. */
  is_stopping: boolean;
}

export interface ReloadStatus {
  at: string;
  /** False: the new config was refused, and the one before it stays in force. */
  is_ok: boolean;
  /** What is wrong with it, one mistake each. */
  errors: string[];
}

export interface JobStatus {
  job: Job;
  /** The newest one that ended; those that were skipped are none. */
  last_run: RunStatus | null;
  /** The end of the newest run that ended as OK. */
  last_success_at: string | null;
  /** Of all of its schedules the earliest, where no daemon runs that of one that would; null: it is off. */
  next_run_at: string | null;
}

export interface RunStatus {
  id: string;
  outcome: RunOutcome;
  started_at: string;
  finished_at: string | null;
  duration_ms: number | null;
  statistics: Record<string, unknown> | null;
  error: string | null;
  schedule: string | null;
}

export interface ScheduleStatus {
  /** `backup`, or `backup busy` for that of an override. */
  name: string;
  job: Job;
  pattern: string;
  next_run_at: string | null;
  /** The longest time between two of its runs; null where it is off. */
  interval_ms: number | null;
  /** How many runs in a row were left out because the one before was still under way. */
  skipped: number;
  /** The newest one that ended; those that were skipped are none. */
  last_run: RunStatus | null;
}

export interface RunningStatus {
  run_id: string | null;
  job: Job;
  schedule: string | null;
  host: string;
  pid: number;
  started_at: string;
  /** Waiting for its turn, at work, or between two tries. */
  state: "queued" | "running" | "retrying";
  /** What it does now; empty for runs of other processes. */
  progress: ProgressStatus[];
}

export interface ProgressStatus {
  title: string;
  bytes: number;
  expected_bytes: number | null;
  storages: { storage: string; bytes: number; state: string }[];
}

export interface DatabaseStatus {
  server: string;
  database: string;
  first_seen_at: string;
  /** No longer there, or no longer selected; null while it is. */
  gone_at: string | null;
  /** `good`: newest backup in time and complete; `never`: there is none yet. */
  state: "good" | "partial" | "failing" | "stale" | "never" | "gone";
  newest_good: GoodBackupStatus | null;
  last_attempt: {
    id: string;
    status: BackupStatus;
    started_at: string;
    finished_at: string | null;
    error: string | null;
  } | null;
  /** The longest time between two backups by its schedule; null: it has none. */
  interval_ms: number | null;
  next_backup_at: string | null;
  copies: DatabaseCopiesStatus[];
}

export interface GoodBackupStatus {
  id: string;
  status: BackupStatus;
  started_at: string;
  finished_at: string | null;
  age_ms: number;
  duration_ms: number | null;
  dump_bytes: number | null;
  object_bytes: number | null;
  /** Storages with a confirmed copy of this very backup. */
  storages: string[];
}

export interface DatabaseCopiesStatus {
  storage: string;
  /** Confirmed ones. */
  copies: number;
  bytes: number;
  newest_started_at: string | null;
  newest_age_ms: number | null;
}

export interface StorageStatus {
  name: string;
  type: "local" | "s3";
  /** A directory, or endpoint and bucket. */
  location: Record<string, string>;
  off_site: boolean;
  /** What the last look has shown; null: nobody has looked yet. */
  is_reachable: boolean | null;
  checked_at: string | null;
  error: string | null;
  free_bytes: number | null;
  total_bytes: number | null;
  /** Confirmed copies of this installation. */
  copies: number;
  stored_bytes: number;
  errors: number;
  last_error: string | null;
  last_error_at: string | null;
}

export interface AlertStatus {
  id: string;
  key: string;
  level: AlertLevel;
  job: Job;
  server: string | null;
  database: string | null;
  message: string;
  count: number;
  created_at: string;
  last_at: string;
  acknowledged_at: string | null;
}
