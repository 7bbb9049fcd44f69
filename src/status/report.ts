import type { NoticeTotals } from "../catalog/overview.ts";
import type { BackupStatus, RestoreTestOutcome, RunOutcome } from "../catalog/records.ts";
import type { SpoolStatus } from "../catalog/spool/status.ts";
import type { AlertLevel, Job, NotifyConfig, RunJob } from "../config/config.ts";
import type { MarkState, RuleName } from "../rule/facts.ts";

/*
 * The data behind `/status`, the page, the metrics and `pg321 status`. Plain JSON: snake_case, times as RFC 3339 UTC
 * text, sizes in bytes, durations in milliseconds; null if unknown. No field holds a secret.
 */

export interface StatusReport {
  version: string;
  commit: string;
  host: string;
  /** The installation id; empty if nothing has run yet. */
  installation: string;
  /** When this report was made. */
  now: string;
  timezone: string;
  /** Null if the report was made from the catalog alone, without a daemon. */
  daemon: DaemonStatus | null;
  jobs: JobStatus[];
  schedules: ScheduleStatus[];
  running: RunningStatus[];
  databases: DatabaseStatus[];
  storages: StorageStatus[];
  notifiers: NotifierStatus[];
  /** Null if no recovery kit was ever made. */
  recovery_kit: RecoveryKitStatus | null;
  /** The globals of each server whose config asks for them; an older daemon does not report them. */
  globals?: GlobalsStatus[];
  /** Open alerts, newest first. */
  alerts: AlertStatus[];
  /** How this host's spool stands; null: the catalog has none. An older daemon does not report it. */
  catalog?: SpoolStatus | null;
}

export interface RecoveryKitStatus {
  /** When it was made last. */
  made_at: string;
  /** False if storages or keys of the config have changed since. */
  is_current: boolean;
}

export interface DaemonStatus {
  pid: number;
  started_at: string;
  uptime_ms: number;
  config_file: string;
  /** Hex SHA-256 of the config file in force. */
  config_checksum: string;
  /** The last reload (SIGHUP); null if there was none. */
  last_reload: ReloadStatus | null;
  /** Whether it is shutting down and waits for its last runs to end. */
  is_stopping: boolean;
}

export interface ReloadStatus {
  at: string;
  /** False if the new config was refused; the previous config then stays in force. */
  is_ok: boolean;
  /** The mistakes in the refused config, one each. */
  errors: string[];
}

export interface JobStatus {
  job: RunJob;
  /** The newest finished run; skipped runs do not count. */
  last_run: RunStatus | null;
  /** When the newest run with outcome OK ended. */
  last_success_at: string | null;
  /** The earliest next run of its schedules, calculated if no daemon runs; null if the job has no schedule. */
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
  /** `backup`, or `backup busy` for the schedule of the override "busy". */
  name: string;
  job: RunJob;
  pattern: string;
  next_run_at: string | null;
  /** The longest time between two of its runs; null if the schedule is off. */
  interval_ms: number | null;
  /** Consecutive runs that were skipped because the previous run was still in progress. */
  skipped: number;
  /** The newest finished run; skipped runs do not count. */
  last_run: RunStatus | null;
}

export interface RunningStatus {
  run_id: string | null;
  job: RunJob;
  schedule: string | null;
  host: string;
  pid: number;
  started_at: string;
  /** Waiting for its turn, at work, or waiting for its next retry. */
  state: "queued" | "running" | "retrying";
  /** What it is working on; empty for runs of other processes. */
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
  /** Since when the database is no longer on its server or no longer selected; null while it is. */
  gone_at: string | null;
  /** See `databaseState` in `databases.ts`. */
  state: "good" | "partial" | "failing" | "stale" | "never" | "gone" | "elsewhere";
  newest_good: GoodBackupStatus | null;
  last_attempt: {
    id: string;
    status: BackupStatus;
    started_at: string;
    finished_at: string | null;
    error: string | null;
  } | null;
  /** A run since the last attempt that did not get as far as this database: its server could not be asked. */
  server_failure: { at: string; error: string } | null;
  /** The longest time between two scheduled backups; null without a schedule. */
  interval_ms: number | null;
  next_backup_at: string | null;
  copies: DatabaseCopiesStatus[];
  /** The five marks of 3-2-1-1-0, in the order of its digits; none if the database is gone. */
  marks: MarkStatus[];
  /** Null: no restore test has come to a result. */
  restore_test: RestoreTestStatus | null;
}

/** The newest restore test of a database that passed or failed, and its measured recovery times. */
export interface RestoreTestStatus {
  backup_id: string;
  outcome: RestoreTestOutcome;
  finished_at: string;
  storage: string | null;
  /** `throwaway`, `source`, or host and port of the test server. */
  target: string;
  /** The signer of a result that another host left; null: this installation's own. */
  prover: string | null;
  error: string | null;
  last_passed_at: string | null;
  /** Of the newest test that passed, like `recovery_ms`. */
  dump_bytes: number | null;
  recovery_ms: number | null;
  /** The last ten that passed, oldest first. */
  recoveries: { finished_at: string; storage: string | null; recovery_ms: number }[];
}

export interface MarkStatus {
  rule: RuleName;
  state: MarkState;
  /** Its digit: the number that the config demands. */
  demanded: number;
  /** When it last changed its state. */
  since: string;
  /** What it rests on, or what is missing: lower case, no full stop. */
  sentence: string;
  /** What to do to get it; null if it is held or not demanded. */
  next_step: string | null;
}

/** The backups of the globals of a server. */
export interface GlobalsStatus {
  server: string;
  /** See `globals.ts`. */
  state: "good" | "partial" | "stale" | "never" | "failing";
  /** `storages`: those with a confirmed copy. */
  newest_good: { id: string; started_at: string; storages: string[] } | null;
  /** Whether the newest ones have no passwords of roles, although earlier ones have. */
  has_lost_passwords: boolean;
  last_attempt: { id: string; status: BackupStatus; started_at: string; error: string | null } | null;
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
  /** What the config left out of the dump: `without table public.log`; null: nothing, or not known. */
  left_out: string | null;
  /** Storages with a confirmed copy of this backup. */
  storages: string[];
}

export interface DatabaseCopiesStatus {
  storage: string;
  /** Confirmed copies. */
  copies: number;
  bytes: number;
  newest_started_at: string | null;
  newest_age_ms: number | null;
  /** Whether new backups of the database go there. */
  is_used: boolean;
}

export interface StorageStatus {
  name: string;
  type: "local" | "s3";
  /** A directory, or endpoint and bucket. */
  location: Record<string, string>;
  off_site: boolean;
  /** The result of the last check; null if the storage was not checked yet. */
  is_reachable: boolean | null;
  checked_at: string | null;
  error: string | null;
  free_bytes: number | null;
  total_bytes: number | null;
  immutability: ImmutabilityStatus;
  /** Confirmed copies of this installation. */
  copies: number;
  stored_bytes: number;
  /** How much of it was read back, within 30 and within 90 days. */
  coverage: CoverageStatus[];
  errors: number;
  last_error: string | null;
  last_error_at: string | null;
  /** Until when remains of interrupted copies are locked there, the last of them; null: there are none. */
  locked_remains_until: string | null;
}

/** Whether copies in a storage can count as immutable; which of them do now is up to the lock of each. */
export interface ImmutabilityStatus {
  /** `unproven`: the config names something that a probe must show first; `none`: nothing, or a probe refuted it. */
  by: "lock" | "bucket-rule" | "append-only" | "unproven" | "none";
  is_immutable: boolean;
  /** Whether the config asks for immutable copies here. */
  is_wanted: boolean;
  /** When the storage last refused to delete a probe object; null if never, or if the last one was deleted. */
  probed_at: string | null;
  sentence: string;
  next_step: string | null;
}

/** The copies that were read back and found good within so many days, counted in whole UTC days. */
export interface CoverageStatus {
  days: number;
  copies: number;
  bytes: number;
  /** Their share of the copies, 0 to 1; null: there are no copies. */
  copies_ratio: number | null;
  /** Their share of the stored bytes. */
  bytes_ratio: number | null;
}

export interface NotifierStatus extends NoticeTotals {
  name: string;
  type: NotifyConfig["type"];
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
  /** Whether another alert is about its cause: then pg321, not a person, acknowledged it. */
  has_cause: boolean;
}
