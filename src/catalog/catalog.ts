import type { Fate, ProcessIdentity } from "../base/process/identity.ts";
import type { AlertLevel, Job } from "../config/config.ts";
import type { ClockRecords } from "./clock-records.ts";
import type { Identities } from "./identities.ts";
import type { BackupOutline, OutlineFilter } from "./outlines.ts";
import type { Overview } from "./overview.ts";

/**
 * The records of backups, copies, runs and leases. Field names are those of the tables and of `--json`:
 * snake_case, sizes in bytes, times as RFC 3339 UTC text with milliseconds (`Date.toISOString()`).
 */

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

/**
 * Keeps what retention plans with as it was when it was taken, whatever is written meanwhile. Close it soon:
 * the catalog keeps for it what has been replaced since.
 */
export interface RetainedSnapshot extends AsyncDisposable {
  /**
   * Every backup with a copy that is CONFIRMED, DAMAGED or MISSING, and these copies: database by database,
   * newest first (by started_at, then by id), some hundreds at a time; others get their turn in between. May be
   * read several times, one after the other.
   */
  backups(): AsyncIterable<RetainedBackupRecord[]>;
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

export type { AlertLevel, Job };
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

/** A new version of an alert, and what is to be told of it. */
export interface AlertChange {
  alert: AlertRecord;
  deliveries: readonly DeliveryRecord[];
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

export interface BackupFilter {
  server?: string;
  database?: string;
  status?: readonly BackupStatus[];
  /** Those that began then or before. */
  startedBy?: string;
  /** Those that began later than then. */
  startedAfter?: string;
  /** Newest first; all of them where not given. */
  limit?: number;
  /** So many of the newest are left out; none where not given. */
  offset?: number;
}

/**
 * Where the records live. Every implementation is one file, is opened by `open.ts`, and passes
 * `test/suites/catalog/conformance.ts`. Each call is one transaction, durable when it returns.
 * Errors are `Pg321Error` with code `storage`.
 */
export interface Catalog extends AsyncDisposable {
  readonly overview: Overview;
  readonly clockRecords: ClockRecords;
  readonly identities: Identities;

  /** The id of the installation that the catalog belongs to; undefined while it is new. */
  installation(): Promise<string | undefined>;
  /** Gives a new catalog its installation. Returns the one that it has from then on: the first that was given. */
  belongTo(installation: string): Promise<string>;

  insertBackup(record: BackupRecord): Promise<void>;
  /** Changes the named fields. Throws when there is no such backup. */
  updateBackup(id: string, change: Partial<Omit<BackupRecord, "id">>): Promise<void>;
  backup(id: string): Promise<BackupRecord | undefined>;
  /** Every backup whose id starts with `prefix` (hex digits and dashes, any case), newest first; at most `limit`. */
  backupsByPrefix(prefix: string, limit: number): Promise<BackupRecord[]>;
  /** Newest first by started_at. */
  backups(filter: BackupFilter): Promise<BackupRecord[]>;
  /**
   * The keys of every object that a storage may have of ours, manifests not among them, some thousands at a
   * time. What was recorded before the first are read is among them.
   */
  objectKeys(storage: string): AsyncIterable<string[]>;
  /** Every backup with a manifest, newest first, some hundreds at a time, each as it is then; others get their turn in between. */
  outlines(filter: OutlineFilter): AsyncIterable<BackupOutline[]>;
  /** What retention plans with, as it is now. */
  retained(): Promise<RetainedSnapshot>;
  /** Backups that no run makes and of which no storage has anything: each of their copies is FAILED or DELETED. Oldest first. */
  backupsWithoutCopies(): Promise<BackupRecord[]>;
  /** Removes the records of a backup and of its copies and leaves the tombstone. Throws when there is no such backup. */
  removeBackup(tombstone: TombstoneRecord): Promise<void>;
  /** Newest first by removed_at. */
  tombstones(filter: { server?: string; database?: string; limit?: number }): Promise<TombstoneRecord[]>;
  /** Removes those from before `removedBefore`. Returns how many. */
  pruneTombstones(removedBefore: string): Promise<number>;
  /**
   * Removes runs and notices that ended, and alerts that were over, before a time: at most some thousands at
   * once, none of them when there are no more. The newest 100 runs of each job stay, the newest of each outcome
   * and schedule, and alerts that retention or later dumps still look at. Sums of runs are not touched.
   */
  pruneHistory(before: string): Promise<HistoryCounts>;
  /** By the rule of `base/newest-good.ts` the newest VERIFIED or PARTIAL backup of a database with a CONFIRMED copy. */
  newestGood(server: string, database: string, now: Date): Promise<BackupRecord | undefined>;

  /** Inserts, or replaces the record of the same backup and storage. */
  putCopy(record: CopyRecord): Promise<void>;
  updateCopy(
    backupId: string,
    storage: string,
    change: Partial<Omit<CopyRecord, "backup_id" | "storage">>,
  ): Promise<void>;
  /** In order of storage name. */
  copies(backupId: string): Promise<CopyRecord[]>;
  /** In order of backup id and storage name. */
  copiesInState(states: readonly CopyState[]): Promise<CopyRecord[]>;

  insertRun(record: RunRecord): Promise<void>;
  updateRun(id: string, change: Partial<Omit<RunRecord, "id">>): Promise<void>;
  runs(filter: { job?: Job; outcome?: RunOutcome; limit?: number }): Promise<RunRecord[]>;

  /**
   * Stores, in one transaction, what `decide` makes of the open alert of a key: the alert, inserted or
   * replaced by its id, and its deliveries. `decide` must return at once; undefined changes nothing. Returns
   * what was stored.
   */
  changeAlert(
    key: string,
    decide: (open: AlertRecord | undefined) => AlertChange | undefined,
  ): Promise<AlertRecord | undefined>;
  /** Newest first by created_at. `open`: not resolved. `unacknowledged`: waits for somebody, which INFO never does. */
  alerts(filter: {
    key?: string;
    open?: boolean;
    unacknowledged?: boolean;
    limit?: number;
  }): Promise<AlertRecord[]>;
  acknowledgeAlert(id: string, at: string): Promise<void>;

  insertDeliveries(records: readonly DeliveryRecord[]): Promise<void>;
  updateDelivery(id: string, change: Partial<Omit<DeliveryRecord, "id">>): Promise<void>;
  /**
   * Takes a PENDING delivery that is due: counts a try and moves `next_try_at` to `until`, when it is due again
   * should the taker die. False when it is not due, or another process took it.
   */
  claimDelivery(id: string, now: string, until: string): Promise<boolean>;
  /** In the order they were inserted. */
  deliveries(filter: {
    alert_id?: string;
    notifier?: string;
    state?: DeliveryState;
    limit?: number;
  }): Promise<DeliveryRecord[]>;

  /**
   * Takes a lease, atomically. One is free when its holder is dead, or, where nobody can see that, when its
   * `expires_at` has passed. Returns undefined when taken, else its holder.
   */
  acquireLease(
    lease: LeaseHolder,
    now: string,
    fateOf: (holder: LeaseHolder) => Fate,
  ): Promise<LeaseHolder | undefined>;
  /** False when the lease is no longer this run's. */
  renewLease(name: string, runId: string, expiresAt: string): Promise<boolean>;
  releaseLease(name: string, runId: string): Promise<void>;
  leases(): Promise<LeaseHolder[]>;
}
