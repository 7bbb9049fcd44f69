import type { Clock } from "../base/clock.ts";
import type { Fate } from "../base/process/identity.ts";
import type { RunJob } from "../config/config.ts";
import type { ClockRecords } from "./clock-records.ts";
import type { Fence } from "./fence.ts";
import type { Slots } from "./fleet/slots.ts";
import type { HostExports } from "./host-exports.ts";
import type { Hosts } from "./hosts.ts";
import type { LockProbes } from "./lock-probes.ts";
import type { BackupOutline, EmptyBackup, OutlineFilter, PlacedCopy } from "./outlines.ts";
import type { Overview } from "./overview.ts";
import type {
  AlertRecord,
  BackupKind,
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
import type { RecoveryKits } from "./recovery-kits.ts";
import type { RestoreTests } from "./restore-tests.ts";
import type { RuleMarks } from "./rule-marks.ts";
import type { ScratchDatabases } from "./scratch-databases.ts";
import type { Outage, SpoolStatus } from "./spool/status.ts";
import type { Identities } from "./storages/identities.ts";
import type { Listings } from "./storages/listings.ts";
import type { Usage } from "./usage.ts";
import type { Verification } from "./verification.ts";

/**
 * The records of backups, copies, runs and leases. Field names are those of the tables and of `--json`:
 * snake_case, sizes in bytes, times as RFC 3339 UTC text with milliseconds (`Date.toISOString()`).
 */

/**
 * The input of retention's plan as it was when the snapshot was taken; later writes do not show. Close it soon:
 * until then the catalog keeps the old versions of everything that is replaced.
 */
export interface RetainedSnapshot extends AsyncDisposable {
  /**
   * Every backup with a copy that is CONFIRMED, DAMAGED or MISSING, and these copies: database by database, newest
   * first (by started_at, then by id), some hundreds at a time, giving way to other work in between. May be read
   * several times, one after the other.
   */
  backups(): AsyncIterable<RetainedBackupRecord[]>;
}

/** A new version of an alert, and the notices to deliver about it. */
export interface AlertChange {
  alert: AlertRecord;
  deliveries: readonly DeliveryRecord[];
}

/** Whose alerts a host works with: its own, and those of no host. */
export interface AlertScope {
  host: string;
  /** Whether a new alert belongs to no host, because several hosts work on what it is about. */
  isShared: (alert: AlertRecord) => boolean;
}

/** Whose history stays: these hosts and servers are other hosts' matter. */
export interface OthersHistory {
  hosts: readonly string[];
  servers: readonly string[];
}

export interface BackupFilter {
  server?: string;
  database?: string;
  kind?: BackupKind;
  /** The host that made it. */
  host?: string;
  status?: readonly BackupStatus[];
  run_id?: string;
  /** Only backups that began at this time or before. */
  startedBy?: string;
  /** Only backups that began after this time. */
  startedAfter?: string;
  /** Only backups that began at this time or after. */
  startedFrom?: string;
  /** Only backups with a copy in one of these states, in this storage if it is given. */
  copy?: { storage?: string; states: readonly CopyState[] };
  /** Only backups that come after this one: newest first by started_at, then by id. */
  after?: Pick<BackupRecord, "started_at" | "id"> | undefined;
  /** At most this many of the newest; all if not given. */
  limit?: number;
  /** Skips this many of the newest; none if not given. */
  offset?: number;
}

/**
 * Stores the records. Every implementation is one file, is opened by `open.ts`, and passes
 * `test/suites/catalog/conformance.ts`. Each call is one transaction, durable when it returns. Errors are
 * `Pg321Error` with code `storage`. A write with a `fence` throws code `locked`, and writes nothing, if another run has
 * taken the lease since.
 */
export interface Catalog extends AsyncDisposable {
  /** Whether several hosts may use it. */
  readonly isShared: boolean;
  /** Of the view of one host: the catalog with what belongs to all of them. */
  readonly whole?: Catalog;
  readonly overview: Overview;
  readonly clockRecords: ClockRecords;
  readonly hostExports: HostExports;
  readonly hosts: Hosts;
  readonly slots: Slots;
  readonly recoveryKits: RecoveryKits;
  readonly identities: Identities;
  readonly listings: Listings;
  readonly lockProbes: LockProbes;
  readonly restoreTests: RestoreTests;
  readonly ruleMarks: RuleMarks;
  readonly usage: Usage;
  readonly verification: Verification;
  readonly scratchDatabases: ScratchDatabases;
  /** Undefined if it has no spool. */
  readonly spool?: {
    /** Throws if the file of the spool cannot be read. */
    status(): SpoolStatus;
    /** Undefined while the catalog is reachable. Reads no file, and never throws. */
    outage(): Outage | undefined;
  };

  /** The id of the installation that the catalog belongs to; undefined in a new catalog. */
  installation(): Promise<string | undefined>;
  /** Sets the installation of a new catalog. Returns the one it has from then on: the first that was set. */
  belongTo(installation: string): Promise<string>;

  insertBackup(record: BackupRecord, fence?: Fence): Promise<void>;
  /** Changes the given fields. Throws if there is no such backup. */
  updateBackup(id: string, change: Partial<Omit<BackupRecord, "id">>, fence?: Fence): Promise<void>;
  backup(id: string): Promise<BackupRecord | undefined>;
  /** Every backup whose id starts with `prefix` (hex digits and dashes, any case), newest first; at most `limit`. */
  backupsByPrefix(prefix: string, limit: number): Promise<BackupRecord[]>;
  /** Newest first by started_at. */
  backups(filter: BackupFilter): Promise<BackupRecord[]>;
  /** The number of backups that `backups` returns without limit and offset. */
  countBackups(filter: Omit<BackupFilter, "limit" | "offset">): Promise<number>;
  /**
   * The states of the copies in a storage that have these object keys, at most some thousands at a time; keys without a
   * copy are not in the result. If two backups have the same key, a copy that is not DELETED counts.
   */
  copyStates(storage: string, keys: readonly string[]): Promise<Map<string, CopyState>>;
  /**
   * Every backup with a manifest, newest first, some hundreds at a time, each in its state at the time of reading;
   * gives way to other work in between.
   */
  outlines(filter: OutlineFilter): AsyncIterable<BackupOutline[]>;
  /** The input of retention's plan, as of now. */
  retained(): Promise<RetainedSnapshot>;
  /**
   * Backups that are not RUNNING and that no storage holds: all their copies are FAILED or DELETED. Oldest first, page
   * by page, each in its state at the time of reading; gives way to other work in between. They may be removed meanwhile.
   */
  backupsWithoutCopies(): AsyncIterable<EmptyBackup[]>;
  /** Replaces the records of a backup and its copies by the tombstone. Throws if there is no such backup. */
  removeBackup(tombstone: TombstoneRecord, fence?: Fence): Promise<void>;
  /** Newest first by removed_at. */
  tombstones(
    filter: Omit<BackupFilter, "status" | "copy" | "startedAfter" | "host">,
  ): Promise<TombstoneRecord[]>;
  /** The tombstone removed last of those whose backup's id starts with `prefix` (as for `backupsByPrefix`). */
  tombstoneByPrefix(prefix: string): Promise<TombstoneRecord | undefined>;
  /** Deletes tombstones from before `removedBefore`. Returns their number. */
  pruneTombstones(removedBefore: string, except?: OthersHistory): Promise<number>;
  /**
   * Deletes runs and notices that ended, and alerts that were resolved, before the given time: at most some
   * thousands per call; returns zeros once none are left. Keeps the newest 100 runs of each job, the newest run of
   * each outcome and schedule, and the alerts that retention or later dumps still use. Totals of runs do not
   * change.
   */
  pruneHistory(before: string, except?: OthersHistory): Promise<HistoryCounts>;
  /**
   * The newest VERIFIED or PARTIAL backup of a database with a CONFIRMED copy, by the rule of
   * `base/newest-good.ts`.
   */
  newestGood(server: string, database: string, now: Date): Promise<BackupRecord | undefined>;

  /** Inserts, or replaces the record of the same backup and storage. */
  putCopy(record: CopyRecord, fence?: Fence): Promise<void>;
  /** Like `putCopy`, for a copy of each storage at once: all are stored, or none. */
  putCopies(records: readonly CopyRecord[], fence?: Fence): Promise<void>;
  updateCopy(
    backupId: string,
    storage: string,
    change: Partial<Omit<CopyRecord, "backup_id" | "storage">>,
    fence?: Fence,
  ): Promise<void>;
  /** In order of storage name. */
  copies(backupId: string): Promise<CopyRecord[]>;
  /** The copies of some backups, a page at most. In order of backup id and storage name. */
  copiesOf(backupIds: readonly string[]): Promise<CopyRecord[]>;
  /** At most some hundreds, in order of backup id and storage name; those after that of `after` if it is given. */
  copiesInState(state: CopyState, after?: Pick<CopyRecord, "backup_id" | "storage">): Promise<CopyRecord[]>;
  /**
   * What identifies all copies in these states, in the same order: some hundreds at a time, each in its state at the time
   * of reading; gives way to other work in between. The copies may change meanwhile.
   */
  placedCopies(states: readonly CopyState[]): AsyncIterable<PlacedCopy[]>;

  insertRun(record: RunRecord): Promise<void>;
  updateRun(id: string, change: Partial<Omit<RunRecord, "id">>): Promise<void>;
  runs(filter: { job?: RunJob; outcome?: RunOutcome; host?: string; limit?: number }): Promise<RunRecord[]>;

  /**
   * Calls `decide` with the open alert of a key and stores its result in the same transaction: the alert, inserted
   * or replaced by its id, and its deliveries. `decide` must not wait; if it returns undefined nothing changes.
   * Returns the stored alert. With a scope, alerts of other hosts are left alone: each host may have one of the key.
   */
  changeAlert(
    key: string,
    decide: (open: AlertRecord | undefined) => AlertChange | undefined,
    scope?: AlertScope,
  ): Promise<AlertRecord | undefined>;
  /**
   * Newest first by created_at. `open`: not resolved. `unacknowledged`: waits for a person; INFO alerts never do. `host`:
   * only those of this host and of no host.
   */
  alerts(filter: {
    host?: string;
    key?: string;
    open?: boolean;
    unacknowledged?: boolean;
    limit?: number;
  }): Promise<AlertRecord[]>;
  acknowledgeAlert(id: string, at: string): Promise<void>;

  /** `host`: only this host sends them. */
  insertDeliveries(records: readonly DeliveryRecord[], host?: string): Promise<void>;
  updateDelivery(id: string, change: Partial<Omit<DeliveryRecord, "id">>): Promise<void>;
  /**
   * Claims a PENDING delivery that is due: counts an attempt and sets `next_try_at` to `until`, so that it is due
   * again then if the claiming process dies. False if it is not due, or another process has claimed it.
   */
  claimDelivery(id: string, now: string, until: string): Promise<boolean>;
  /** In the order they were inserted. `host`: only those of this host and of no host. */
  deliveries(filter: {
    host?: string;
    alert_id?: string;
    notifier?: string;
    state?: DeliveryState;
    limit?: number;
  }): Promise<DeliveryRecord[]>;

  /**
   * Takes a lease, atomically. It is free if its holder is dead or, if that cannot be seen from here, once its
   * `expires_at` has passed. Returns undefined if taken, otherwise the holder.
   */
  acquireLease(
    lease: LeaseHolder,
    now: string,
    fateOf: (holder: LeaseHolder) => Fate,
  ): Promise<LeaseHolder | undefined>;
  /** False if this run no longer holds the lease. */
  renewLease(name: string, runId: string, expiresAt: string): Promise<boolean>;
  releaseLease(name: string, runId: string): Promise<void>;
  /** The token that the lease got when this run took it; undefined if the run does not hold it. */
  leaseToken(name: string, runId: string): Promise<number | undefined>;
  leases(): Promise<LeaseHolder[]>;
  /**
   * The time by which leases are taken, renewed and judged. `clock`: the host's, for a catalog that only this host uses;
   * a catalog that hosts share has its server's, because theirs may differ.
   */
  leaseTime(clock: Clock): Promise<Date>;
}
