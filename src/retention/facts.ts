import type { LockRules } from "./locks.ts";

/** The input and the results of retention. Times are instants; nothing here reads a clock. */

/** The rules for all copies. */
export interface RetentionRules {
  now: Date;
  /** IANA name: the counting rules use the days, weeks, months and years of this zone. */
  timezone: string;
  storages: readonly RetainingStorage[];
  /** The rules that hold for a database instead of those of a storage; undefined: the storage's own. */
  keepOf?: ((server: string, database: string, storage: string) => KeepRules) | undefined;
  guard: {
    /** How long a database may go without a new good backup before it counts as stale. */
    staleAfterMs: (server: string, database: string) => number;
    /** Number of good backups of a stale database that are guarded. */
    keep: number;
  };
  /** Set if the clock must not be trusted (`clockSuspicion`): nothing expires without a confirmation. */
  clockSuspicion?: string | undefined;
  /** Within this time from now the next cleanup has certainly run: a lock that ends earlier is renewed now. */
  lockHorizonMs?: number;
  /** The `planHash` that a person has confirmed: exactly that plan is carried out despite its stops. */
  confirmedPlanHash?: string | undefined;
}

export interface RetainingStorage {
  name: string;
  offSite: boolean;
  /** False if the provider's lifecycle rule deletes old copies instead of pg321. */
  expire: boolean;
  keep: KeepRules;
  /** Set if pg321 locks the copies. */
  lock?: LockRules | undefined;
}

/** Each rule counts the good backups of one database with a confirmed copy in that storage, newest first. */
export interface KeepRules {
  /** Days of 24 hours. A copy of exactly this age is kept, an older one only by another rule. */
  days: number;
  last?: number | undefined;
  /** Keeps the newest backup of each of this many days that have one; the next three are analogous. */
  daily?: number | undefined;
  /** ISO weeks, which begin on Monday. */
  weekly?: number | undefined;
  monthly?: number | undefined;
  yearly?: number | undefined;
}

export interface RetainedBackup {
  id: string;
  server: string;
  database: string;
  startedAt: Date;
  /** Its dump is complete. It counts as good only while it also has a confirmed copy. */
  isGood: boolean;
  /** Whether a person holds it. */
  isHeld: boolean;
  /** The end of the hold; undefined if it has none. */
  heldUntil: Date | undefined;
  /** Why the person holds it, if that was said. */
  heldFor?: string;
  /** Older than the backup that, by an unacknowledged alert, has shrunk. */
  shrinkSuspect: boolean;
  /** Globals only: a backup of the same run is still kept, so these are kept too. */
  isNeeded?: true;
  /** The copies that take space in a storage; at most one for each storage. */
  copies: readonly RetainedCopy[];
}

export interface RetainedCopy {
  storage: string;
  isConfirmed: boolean;
  /** Until when the storage refuses to delete it. */
  lockedUntil?: Date | undefined;
  /** Set if its lock is governance although the config wants compliance, and the storage has not refused that yet. */
  isLockWeak?: boolean;
  /** By what, if not by Object Lock. */
  lockedBy?: string | undefined;
  bytes: number;
}

/** What keeps a copy that would expire by the rules of its storage. */
export type Guard = "newest-good" | "stale" | "shrunk" | "held" | "locked";

export interface RetentionDecision {
  backupId: string;
  server: string;
  database: string;
  storage: string;
  bytes: number;
  isConfirmed: boolean;
  action: "keep" | "expire";
  /** One sentence for people: lower case, no full stop. */
  reason: string;
  /** Set if only this guard keeps the copy. */
  guard?: Guard;
  /** Set on a copy that would expire but waits for a confirmation, or for a trusted clock. */
  isSuspended?: true;
  /** Set on a copy that stays and whose lock would end too soon, or is weak: until when it should be locked. */
  lockUntil?: Date;
  /** Set on a copy that is past its days and that the provider should delete. */
  isLeftToProvider?: true;
  /**
   * Storages with the copies that allow this copy of a guarded backup to expire. Each must be found there (HEAD) in
   * the same run before this one is deleted; if a storage does not answer, this one is kept.
   */
  reliesOn: readonly string[];
}

/** The result of a plan once all backups have been examined; it does not contain the single decisions. */
export interface PlanOutline {
  /** Stops, each of which needs a person's check. Empty once the plan is confirmed. */
  suspended: Suspension[];
  /** Identifies the plan's expiring copies and its stops; the same for the same facts in any order. */
  planHash: string;
  /** Whether it is the plan that a person has confirmed. */
  isConfirmed: boolean;
  /**
   * The newest of the backups dated more than an hour ahead: they expire nothing, never count as newest, and need a
   * person's check.
   */
  futureDated: FutureDated[];
  /**
   * The newest good backup of each database that has one, and the storages that keep its copies. Before another
   * backup of that database loses its last copy, one of these must be found there (HEAD) in the same run.
   */
  newestGood: NewestGood[];
  /** By storage. */
  counts: ReadonlyMap<string, DecisionCounts>;
  /** The stop that keeps a copy that would otherwise expire. */
  stopOf(copy: Pick<RetentionDecision, "server" | "database" | "storage">): Suspension | undefined;
  /** Makes a decision final: a copy held by a stop is kept, and its reason says so. Returns the same object. */
  finalDecision(decision: RetentionDecision): RetentionDecision;
}

/** Copies in one storage, each counted at most once. */
export interface DecisionCounts {
  expiring: number;
  /** Kept only by a guard. */
  guarded: number;
  /** Kept only by a stop. */
  suspended: number;
}

export interface Suspension {
  kind: "clock" | "database" | "storage";
  /** Not set for the clock, which stops everything. */
  storage?: string;
  /** Set for the kind "database". */
  server?: string;
  database?: string;
  /** Copies that wait. */
  copies: number;
  /** One sentence for people: lower case, no full stop. */
  reason: string;
}

export interface FutureDated {
  backupId: string;
  server: string;
  database: string;
  startedAt: Date;
}

export interface NewestGood {
  server: string;
  database: string;
  backupId: string;
  storages: string[];
}
