import type { Fate } from "../base/process/identity.ts";
import type { Job } from "../config/config.ts";
import type { ClockRecords } from "./clock-records.ts";
import type { Identities } from "./identities.ts";
import type { BackupOutline, OutlineFilter } from "./outlines.ts";
import type { Overview } from "./overview.ts";
import type {
  AlertRecord,
  BackupRecord,
  BackupStatus,
  CopyRecord,
  CopyState,
  DeliveryRecord,
  DeliveryState,
  HistoryCounts,
  LeaseHolder,
  RetainedBackupRecord,
  RunOutcome,
  RunRecord,
  TombstoneRecord,
} from "./records.ts";

/**
 * The records of backups, copies, runs and leases. Field names are those of the tables and of `--json`:
 * snake_case, sizes in bytes, times as RFC 3339 UTC text with milliseconds (`Date.toISOString()`).
 */

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

/** A new version of an alert, and what is to be told of it. */
export interface AlertChange {
  alert: AlertRecord;
  deliveries: readonly DeliveryRecord[];
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
