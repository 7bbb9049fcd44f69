import type { ProcessIdentity } from "../base/process/identity.ts";
import type { AlertLevel, Job } from "../config/config.ts";

/** RUNNING becomes INTERRUPTED once its lease is over. Only VERIFIED and PARTIAL can be restored. */
export type BackupStatus = "RUNNING" | "VERIFIED" | "PARTIAL" | "FAILED" | "INTERRUPTED";

/**
 * INTENDED: the key is reserved, bytes may be on the way. CONFIRMED: the storage has it whole, and its
 * manifest. FAILED: given up, nothing is there. DAMAGED, MISSING: found so by a later look.
 * DELETING: marked for removal. HIDDEN: removed from sight, but its versions stay, and stay billed, until the
 * key may delete them. DELETED: its removal is confirmed.
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

/** States of copies that were removed on purpose, or are about to be: nothing restores or refills them. */
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
  /** Bytes that pg_dump wrote; null until known. */
  dump_bytes: number | null;
  /** Bytes of the object as stored (compressed, sealed). */
  object_bytes: number | null;
  /** Lower-case hex SHA-256 of the object as stored. */
  object_sha256: string | null;
  compression: string;
  encryption: "age" | "none";
  server_version: string | null;
  pg_dump_version: string | null;
  /** The newest good backup of this database when this one began. */
  previous_id: string | null;
  /** The manifest's exact text, once the backup is complete. */
  manifest: string | null;
  error: string | null;
  /** The end of pg_dump's stderr. */
  stderr_tail: string | null;
  /** When somebody put a hold on it, which keeps every copy of it; null: none. */
  held_at: string | null;
  /** When the hold ends by itself; null: never. */
  hold_until: string | null;
}

export interface CopyRecord {
  backup_id: string;
  storage: string;
  object_key: string;
  state: CopyState;
  /** Id of the multipart upload that carries it, while INTENDED. */
  upload_id: string | null;
  object_bytes: number | null;
  confirmed_at: string | null;
  /** When the copy was last read back whole and found right. */
  verified_at: string | null;
  error: string | null;
  /** Until when the storage refuses to delete it, as a look at it has last shown; null: not locked. */
  locked_until: string | null;
}

/** What retention must know of a backup: as little as that, for there may be many. */
export interface RetainedBackupRecord
  extends Pick<
    BackupRecord,
    "id" | "server" | "database" | "status" | "started_at" | "held_at" | "hold_until"
  > {
  /** Those that are, or should be, in a storage. */
  copies: Pick<CopyRecord, "storage" | "state" | "object_bytes" | "locked_until">[];
}

/** What is left of a backup whose record was removed: one line for the history. */
export interface TombstoneRecord {
  backup_id: string;
  server: string;
  database: string;
  kind: BackupKind;
  started_at: string;
  dump_bytes: number | null;
  object_bytes: number | null;
  /** Whether it was ever good. */
  was_good: boolean;
  removed_at: string;
  /** Who asked for it: retention by its rules, or a person. */
  removed_by: "retention" | "delete" | "forget";
}

/** How many records were removed. */
export interface HistoryCounts {
  runs: number;
  alerts: number;
  deliveries: number;
}

/**
 * SKIPPED: it was due while the run before it of the same schedule was still under way. IDLE: its schedule has no
 * database to work on, which is neither a success nor a failure.
 */
export type RunOutcome = "RUNNING" | "OK" | "PARTIAL" | "FAILED" | "INTERRUPTED" | "SKIPPED" | "IDLE";

export interface RunRecord extends ProcessIdentity {
  id: string;
  job: Job;
  outcome: RunOutcome;
  /** Its name, for people. */
  host: string;
  started_at: string;
  finished_at: string | null;
  /** What the job counted, as JSON; null while it runs. */
  statistics: Record<string, unknown> | null;
  error: string | null;
  /** Name of the schedule that began it; null: a person did. */
  schedule: string | null;
  /** When it was due, if a schedule began it. */
  scheduled_for: string | null;
}

/** Something to tell people. Trouble stays open until it is over; repeated, it is still one alert. */
export interface AlertRecord {
  id: string;
  /** What is the same trouble: at most one alert of a key is open. */
  key: string;
  /** The highest that it had while it was open. */
  level: AlertLevel;
  job: Job;
  /** The run that told of it last. */
  run_id: string | null;
  server: string | null;
  database: string | null;
  message: string;
  metadata: Record<string, unknown>;
  /** How often it was raised. */
  count: number;
  created_at: string;
  /** When it was raised last. */
  last_at: string;
  /** How many reminders went out. */
  reminders: number;
  /** When the next one is due; null: never. */
  remind_at: string | null;
  /** When the trouble was over; an event that is over as it is told (a success) has it from the start. */
  resolved_at: string | null;
  acknowledged_at: string | null;
}

export type DeliveryState = "PENDING" | "DELIVERED" | "FAILED";

/** One notice on its way to one notifier. */
export interface DeliveryRecord {
  id: string;
  /** Null for what is not about an alert (a ping). */
  alert_id: string | null;
  /** Name of the notifier in the config. */
  notifier: string;
  /** What is told, as it was at that time. */
  notice: Record<string, unknown>;
  state: DeliveryState;
  /** Tries that were begun. */
  attempts: number;
  created_at: string;
  next_try_at: string;
  finished_at: string | null;
  /** Why the last try failed. */
  error: string | null;
}

/** Who holds a lease, as told to the one that is turned away. */
export interface LeaseHolder extends ProcessIdentity {
  name: string;
  run_id: string;
  /** Its name, for people. */
  host: string;
  acquired_at: string;
  expires_at: string;
}
