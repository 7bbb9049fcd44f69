import { LISTED_MAX } from "../../base/limits.ts";
import type { RunRecord } from "../../catalog/records.ts";
import type { RetentionDecision } from "../../retention/plan.ts";
import type { GuardedDatabase } from "./expiring-copies.ts";
import type { CleanupPlan } from "./plan.ts";

/** The counts of a cleanup in one storage. Sizes in bytes. */
export interface StorageStatistics {
  /** Copies that expired in this run. */
  expired: number;
  /** Deleted and confirmed gone, not counting archived copies. */
  deleted: number;
  /** Moved to the storage that `archive_to` names. */
  archived: number;
  /** Hidden, but their versions stay and are still billed, because the key is not allowed to delete them. */
  hidden: number;
  /** Expired but kept: by a guard, a hold, a lock or a stop, or because a storage did not answer. */
  held: number;
  failed: number;
  /** Left to the provider's lifecycle rule, which should have removed them days ago. */
  overdue: number;
  bytes_freed: number;
}

export interface CleanupError {
  storage: string;
  /** Null if the error is not about a single object. */
  key: string | null;
  error: string;
}

/** Information about a copy that is not a failure. */
export interface CleanupNote {
  storage: string;
  key: string;
  note: string;
}

/** An object under a storage's prefix that has no record. */
export interface Orphan {
  storage: string;
  key: string;
  size_bytes: number;
}

export interface OrphanCount {
  storage: string;
  objects: number;
  bytes: number;
}

export interface CleanupStatistics extends Record<string, unknown> {
  storages: Record<string, StorageStatistics>;
  records_deleted: number;
  temporary_files_deleted: number;
  multipart_uploads_aborted: number;
  /** Records of the history removed because they were older than `cleanup.history`. */
  runs_pruned: number;
  alerts_pruned: number;
  deliveries_pruned: number;
  adopted: number;
  /** Copies whose lock was put on or extended. */
  locks_renewed: number;
  duration_ms: number;
  errors: CleanupError[];
  /** The number of errors that are not listed. */
  more_errors: number;
  notes: CleanupNote[];
  more_notes: number;
  orphans: OrphanCount[];
  /** Why expiry stopped, completely or in part; empty if it did not. */
  suspended: string[];
  /** The hash for `--confirm`; null if nothing waits for confirmation. */
  plan_hash: string | null;
  /** Copies that were recorded as good and are gone although pg321 did not remove them. */
  missing: number;
  /** Whether the clock was not trusted, and whether a person confirmed the plan. */
  clock_suspected: boolean;
  confirmed: boolean;
}

export interface CleanupReport {
  run: RunRecord;
  statistics: CleanupStatistics;
  /** The first decisions on copies that went, wait, or are kept by a guard. */
  decisions: readonly RetentionDecision[];
  orphans: readonly Orphan[];
}

/** What a cleanup would do. Until it is disposed of, it reads the catalog as it was when the preview was made. */
export interface CleanupPreview extends AsyncDisposable {
  statistics: CleanupStatistics;
  orphans: readonly Orphan[];
  /** `SERVER/DATABASE` of every database that has copies. */
  databases: readonly string[];
  /**
   * Every decision, by server and database, newest backup first, by storage. They are computed while they are read,
   * some hundreds at a time, and can be read several times, one after the other.
   */
  decisions(): AsyncIterable<RetentionDecision[]>;
}

/** Counts what a run does, for its record, its alerts and its output. */
export class CleanupTally {
  readonly statistics: CleanupStatistics;
  readonly orphans: Orphan[] = [];
  decisions: readonly RetentionDecision[] = [];
  guarded: readonly GuardedDatabase[] = [];

  constructor(storages: readonly string[]) {
    this.statistics = {
      storages: Object.fromEntries(storages.map((name) => [name, nothing()])),
      records_deleted: 0,
      temporary_files_deleted: 0,
      multipart_uploads_aborted: 0,
      runs_pruned: 0,
      alerts_pruned: 0,
      deliveries_pruned: 0,
      adopted: 0,
      locks_renewed: 0,
      duration_ms: 0,
      errors: [],
      more_errors: 0,
      notes: [],
      more_notes: 0,
      orphans: [],
      suspended: [],
      plan_hash: null,
      missing: 0,
      clock_suspected: false,
      confirmed: false,
    };
  }

  plan({ outline, clockSuspicion }: CleanupPlan): void {
    const { suspended, isConfirmed, planHash, counts } = outline;
    const reasons = suspended.map(({ reason }) => reason);
    // A suspect clock stops the rest of the cleanup even if no copy expires: it would misjudge ages there too.
    if (clockSuspicion !== undefined && !isConfirmed && reasons.length === 0) reasons.push(clockSuspicion);
    this.statistics.suspended = reasons;
    this.statistics.plan_hash = reasons.length > 0 ? planHash : null;
    this.statistics.clock_suspected = clockSuspicion !== undefined;
    this.statistics.confirmed = isConfirmed;
    for (const [storage, { expiring, guarded, suspended }] of counts) {
      this.in(storage).expired += expiring;
      this.in(storage).held += guarded + suspended;
    }
  }

  in(storage: string): StorageStatistics {
    const { storages } = this.statistics;
    storages[storage] ??= nothing();
    return storages[storage];
  }

  fail(storage: string, key: string | null, error: string): void {
    const { errors } = this.statistics;
    // Those of a whole storage are few.
    if (key === null || errors.length < LISTED_MAX) errors.push({ storage, key, error });
    else this.statistics.more_errors++;
  }

  /** Whether this error of a whole storage is already recorded. */
  hasFailed(storage: string, error: string): boolean {
    return this.statistics.errors.some(
      (one) => one.key === null && one.storage === storage && one.error === error,
    );
  }

  note(storage: string, key: string, note: string): void {
    const { notes } = this.statistics;
    if (notes.length < LISTED_MAX) notes.push({ storage, key, note });
    else this.statistics.more_notes++;
  }

  /** Adds orphans of one storage, and names some of them. */
  foundOrphans({ storage, objects, bytes }: OrphanCount, named: readonly Orphan[]): void {
    if (objects === 0) return;
    let count = this.statistics.orphans.find((one) => one.storage === storage);
    if (!count) {
      count = { storage, objects: 0, bytes: 0 };
      this.statistics.orphans.push(count);
    }
    count.objects += objects;
    count.bytes += bytes;
    this.orphans.push(...named.slice(0, LISTED_MAX - this.orphans.length));
  }

  /** Sums over every storage. */
  total(field: keyof StorageStatistics): number {
    return Object.values(this.statistics.storages).reduce((sum, counts) => sum + counts[field], 0);
  }
}

function nothing(): StorageStatistics {
  return { expired: 0, deleted: 0, archived: 0, hidden: 0, held: 0, failed: 0, overdue: 0, bytes_freed: 0 };
}
