import type { RunRecord } from "../../catalog/records.ts";
import type { RetentionDecision } from "../../retention/plan.ts";
import type { GuardedDatabase } from "./going-copies.ts";
import type { CleanupPlan } from "./plan.ts";

/** What a cleanup counted in one storage. Sizes in bytes. */
export interface StorageStatistics {
  /** Copies that retention let go in this run. */
  expired: number;
  /** Confirmed gone, archived ones left out. */
  deleted: number;
  /** Moved to the storage that `archive_to` names. */
  archived: number;
  /** Removed from sight, but versions stay, and stay billed: the key may not delete them. */
  hidden: number;
  /** Kept against the storage's own rules: by a guard, a hold, a lock, a stop, or for want of an answer. */
  held: number;
  failed: number;
  /** Left to the provider's lifecycle rule, which should have removed them days ago. */
  overdue: number;
  bytes_freed: number;
}

export interface CleanupError {
  storage: string;
  /** Null for what is not about one object. */
  key: string | null;
  error: string;
}

/** Something to know that is no failure. */
export interface CleanupNote {
  storage: string;
  key: string;
  note: string;
}

/** An object under a storage's prefix that no record knows. */
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
  /** Records of the history that were older than `cleanup.history`. */
  runs_pruned: number;
  alerts_pruned: number;
  deliveries_pruned: number;
  adopted: number;
  duration_ms: number;
  errors: CleanupError[];
  notes: CleanupNote[];
  orphans: OrphanCount[];
  /** Why expiry stopped, wholly or in part; empty when it did not. */
  suspended: string[];
  /** What `--confirm` takes; null when nothing waits for it. */
  plan_hash: string | null;
  /** Copies that were recorded as good and are gone, without anybody having asked for it. */
  missing: number;
  /** Whether the clock was not trusted, and whether somebody confirmed the plan all the same. */
  clock_suspected: boolean;
  confirmed: boolean;
}

export interface CleanupReport {
  run: RunRecord;
  statistics: CleanupStatistics;
  /** The first of those on copies that went, wait, or are kept by a guard. */
  decisions: readonly RetentionDecision[];
  orphans: readonly Orphan[];
}

/** What a cleanup would do. It reads the catalog as it was when it was made, until it is disposed of. */
export interface CleanupPreview extends AsyncDisposable {
  statistics: CleanupStatistics;
  orphans: readonly Orphan[];
  /** `SERVER/DATABASE` of every database that has copies. */
  databases: readonly string[];
  /**
   * Every decision, by server and database, newest backup first, by storage. They are made as they are read,
   * some hundreds at a time, and may be read several times, one after the other.
   */
  decisions(): AsyncIterable<RetentionDecision[]>;
}

/** Names of orphans that a report lists; more are only counted. */
const ORPHANS_NAMED_MAX = 1000;

/** Collects what a run does, for its record, its alert and its output. */
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
      duration_ms: 0,
      errors: [],
      notes: [],
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
    // A clock that stops no copy still stops the rest, whose age it would tell wrongly.
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
    this.statistics.errors.push({ storage, key, error });
  }

  /** Whether this is known of a storage as a whole. */
  hasFailed(storage: string, error: string): boolean {
    return this.statistics.errors.some(
      (one) => one.key === null && one.storage === storage && one.error === error,
    );
  }

  note(storage: string, key: string, note: string): void {
    this.statistics.notes.push({ storage, key, note });
  }

  orphan(orphan: Orphan): void {
    let count = this.statistics.orphans.find(({ storage }) => storage === orphan.storage);
    if (!count) {
      count = { storage: orphan.storage, objects: 0, bytes: 0 };
      this.statistics.orphans.push(count);
    }
    count.objects++;
    count.bytes += orphan.size_bytes;
    if (this.orphans.length < ORPHANS_NAMED_MAX) this.orphans.push(orphan);
  }

  /** Sums over every storage. */
  total(field: keyof StorageStatistics): number {
    return Object.values(this.statistics.storages).reduce((sum, counts) => sum + counts[field], 0);
  }
}

function nothing(): StorageStatistics {
  return { expired: 0, deleted: 0, archived: 0, hidden: 0, held: 0, failed: 0, overdue: 0, bytes_freed: 0 };
}
