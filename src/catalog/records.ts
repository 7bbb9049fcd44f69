import type { ProcessIdentity } from "../base/process/identity.ts";
import type { AlertLevel, Job, LockMode, RunJob } from "../config/config.ts";

/** RUNNING becomes INTERRUPTED once its lease has ended. Only VERIFIED and PARTIAL can be restored. */
export type BackupStatus = "RUNNING" | "VERIFIED" | "PARTIAL" | "FAILED" | "INTERRUPTED";

/**
 * INTENDED: the key is reserved, an upload may be under way. CONFIRMED: the storage has the whole object and its
 * manifest. FAILED: given up, the storage holds nothing. DAMAGED, MISSING: found by a later check. DELETING: marked
 * for removal. HIDDEN: removed from listings, but its versions remain, and remain billed, until the access key may
 * delete them. DELETED: removal is confirmed.
 */
export type CopyState =
  | "INTENDED"
  | "CONFIRMED"
  | "FAILED"
  | "DAMAGED"
  | "MISSING"
  | "DELETING"
  | "HIDDEN"
  | "DELETED";

/**
 * States of copies that were removed on purpose, or are about to be: they are never restored from, nor copied
 * again.
 */
export const REMOVED: readonly CopyState[] = ["DELETING", "HIDDEN", "DELETED"];

export type BackupKind = "dump" | "globals";

export interface BackupRecord {
  /** UUID v4, lower case. */
  id: string;
  installation: string;
  server: string;
  database: string;
  kind: BackupKind;
  status: BackupStatus;
  run_id: string;
  /** Key of the object, the same in every storage; the manifest is at `${key}.json`. */
  object_key: string;
  started_at: string;
  finished_at: string | null;
  /** Bytes written by pg_dump; null until known. */
  dump_bytes: number | null;
  /** Bytes of the stored object (compressed, sealed). */
  object_bytes: number | null;
  /** Lower-case hex SHA-256 of the stored object. */
  object_sha256: string | null;
  compression: string;
  encryption: "age" | "none";
  server_version: string | null;
  pg_dump_version: string | null;
  /** Id of the newest good backup of this database when this backup began. */
  previous_id: string | null;
  /** The manifest's exact text, once the backup is complete. */
  manifest: string | null;
  error: string | null;
  /** The end of pg_dump's stderr. */
  stderr_tail: string | null;
  /** When a person put a hold on it, which keeps all its copies; null: not held. */
  held_at: string | null;
  /** When the hold expires; null: never. */
  hold_until: string | null;
  /** Why, in the words of the person who put it there; null: not said. */
  hold_reason: string | null;
  /**
   * The age recipients that it was sealed to, with a space between them; null if it is not encrypted, was made before
   * they were recorded, or was adopted.
   */
  recipients: string | null;
  /** What was counted in the dump: `DumpFacts` of `postgres/counts/facts.ts`; null: unknown. */
  facts: Record<string, unknown> | null;
  /**
   * Why the dump inside cannot be read, although its bytes are those that were written: no copy of it is good, and none
   * can be repaired. Null: it can be read, or nobody tried.
   */
  unreadable: string | null;
  /** JSON: the hooks that ran around it (`HookRuns` of `jobs/backup/hook-runs.ts`); null: none. */
  hooks: string | null;
  /** The host of the fleet that made it (`[fleet] host`); null: from before hosts were recorded, or adopted. */
  host: string | null;
}

export interface CopyRecord {
  backup_id: string;
  storage: string;
  object_key: string;
  state: CopyState;
  /** Id of its multipart upload, while INTENDED. */
  upload_id: string | null;
  object_bytes: number | null;
  confirmed_at: string | null;
  /** When the whole copy was last read back and found correct. */
  verified_at: string | null;
  error: string | null;
  /** Until when the storage refuses to delete object and manifest, as it has confirmed; null: not locked. */
  locked_until: string | null;
  /** The mode of that lock; null: not locked, or by a rule of the bucket that names no mode. */
  lock_mode: LockMode | null;
  /** When the storage was last asked about the lock; null: never. */
  locked_checked_at: string | null;
  /** Why it is not locked although the config asks for a lock; null: it is locked, or needs no lock. */
  lock_error: string | null;
  /** The place that has confirmed the lock (`lockPlace`); null: not locked, or from before this was recorded. */
  lock_place: string | null;
}

/** What a probe of a storage's immutability tested. */
export type LockProbeWay = "lock" | "bucket-rule" | "append-only";

/** An object that was written to a storage only to see whether the storage refuses to delete it. */
export interface LockProbeRecord {
  /** UUID v4, lower case. */
  id: string;
  storage: string;
  object_key: string;
  by: LockProbeWay;
  probed_at: string;
  /** Null: the probe was cut off, and says nothing. */
  finished_at: string | null;
  /** Whether the storage refused the deletion. */
  refused: boolean;
  /** The storage's answer, for people. */
  message: string;
  /** Until when it cannot be deleted; null: not known. */
  locked_until: string | null;
  /** When the object was gone; null: the storage may still hold it. */
  removed_at: string | null;
  /** The place and the protection that were probed (`probedPlace`); null: from before this was recorded. */
  place: string | null;
}

/** The fields of a copy that retention needs. */
export type RetainedCopyRecord = Pick<
  CopyRecord,
  | "storage"
  | "state"
  | "object_bytes"
  | "confirmed_at"
  | "locked_until"
  | "lock_mode"
  | "lock_error"
  | "lock_place"
>;

/** The fields of a backup that retention needs; few, because there may be very many backups. */
export interface RetainedBackupRecord
  extends Pick<
    BackupRecord,
    "id" | "server" | "database" | "host" | "status" | "started_at" | "held_at" | "hold_until" | "hold_reason"
  > {
  /** Globals only: a storage still has a backup of the same run, or one that needs these globals (the nearest before it). */
  is_needed?: true;
  /** The copies that are, or should be, in a storage. */
  copies: RetainedCopyRecord[];
}

/** The history's line about a backup whose record was removed. */
export interface TombstoneRecord {
  backup_id: string;
  server: string;
  database: string;
  kind: BackupKind;
  started_at: string;
  dump_bytes: number | null;
  object_bytes: number | null;
  /** Whether it was good at any time. */
  was_good: boolean;
  removed_at: string;
  /** Who asked for the removal: retention by its rules, or a person. */
  removed_by: "retention" | "delete" | "forget";
}

/** Numbers of removed records. */
export interface HistoryCounts {
  runs: number;
  alerts: number;
  deliveries: number;
}

/**
 * SKIPPED: due while the previous run of the same schedule was still under way. IDLE: the schedule has no database
 * to work on, which is neither a success nor a failure.
 */
export type RunOutcome = "RUNNING" | "OK" | "PARTIAL" | "FAILED" | "INTERRUPTED" | "SKIPPED" | "IDLE";

export interface RunRecord extends ProcessIdentity {
  id: string;
  job: RunJob;
  outcome: RunOutcome;
  /** The host's name, for people. */
  host: string;
  started_at: string;
  finished_at: string | null;
  /** The numbers that the job counted, as JSON; null while it runs. */
  statistics: Record<string, unknown> | null;
  error: string | null;
  /** Name of the schedule that started it; null: a person did. */
  schedule: string | null;
  /** When it was due, if a schedule started it. */
  scheduled_for: string | null;
}

/**
 * A problem, open until it is resolved: if it occurs again meanwhile it is still the same alert. Or an event, such
 * as a success, which is resolved from the start.
 */
export interface AlertRecord {
  id: string;
  /** Identifies the problem; repeats of it share a key. At most one alert of a key is open. */
  key: string;
  /** The highest level it had while it was open. */
  level: AlertLevel;
  job: Job;
  /** The run that raised it last. */
  run_id: string | null;
  server: string | null;
  database: string | null;
  message: string;
  metadata: Record<string, unknown>;
  /** Number of times it was raised. */
  count: number;
  created_at: string;
  /** When it was raised last. */
  last_at: string;
  /** Number of reminders sent. */
  reminders: number;
  /** When the next reminder is due; null: never. */
  remind_at: string | null;
  /** When the problem was over; of an event, the time it was raised. */
  resolved_at: string | null;
  acknowledged_at: string | null;
}

/**
 * PASSED: restored, every check as expected. FAILED: the backup could not be restored, or a check found something else.
 * ERROR: the test itself could not be carried out (no server, no space), which says nothing about the backup.
 */
export type RestoreTestOutcome = "PASSED" | "FAILED" | "ERROR";

/** One check of a restore test. */
export interface RestoreTestCheck {
  /** `pg_restore`, `rows`, `sequences`, `objects`, `indexes`, `constraints`, or `check NAME` of the config. */
  name: string;
  is_ok: boolean;
  expected: string | number | null;
  found: string | number | null;
  /** What differs, with names; null: nothing to add. */
  detail: string | null;
}

/** A real restore of one backup into a scratch database, and its result. */
export interface RestoreTestRecord {
  /** UUID v4, lower case. */
  id: string;
  /** The run of this installation; null: somebody else restored it. */
  run_id: string | null;
  /** The signer of a result that another host left; null: this installation's own. */
  prover: string | null;
  backup_id: string;
  server: string;
  database: string;
  backup_started_at: string;
  /** The storage whose copy was read; null if none was reached. */
  storage: string | null;
  /** `throwaway`, `source`, or the server's host and port. */
  target: string;
  outcome: RestoreTestOutcome;
  started_at: string;
  finished_at: string;
  /** Until the first byte of the dump; null: not reached. */
  fetch_ms: number | null;
  /** pg_restore, which reads the copy while it works; null: not reached. */
  restore_ms: number | null;
  check_ms: number | null;
  dump_bytes: number | null;
  checks: RestoreTestCheck[];
  error: string | null;
}

export type DeliveryState = "PENDING" | "DELIVERED" | "FAILED";

/** One notice on its way to one notifier. */
export interface DeliveryRecord {
  id: string;
  /** Null if it is not about an alert (a ping). */
  alert_id: string | null;
  /** Name of the notifier in the config. */
  notifier: string;
  /** The notice, with the facts as they were at that time. */
  notice: Record<string, unknown>;
  state: DeliveryState;
  /** Attempts started. */
  attempts: number;
  created_at: string;
  next_try_at: string;
  finished_at: string | null;
  /** Why the last attempt failed. */
  error: string | null;
}

/** A lease and the run that holds it. */
export interface LeaseHolder extends ProcessIdentity {
  name: string;
  run_id: string;
  /** The host's name, for people. */
  host: string;
  acquired_at: string;
  expires_at: string;
}
