/** What retention is told, and what it answers. Times are instants; nothing here reads a clock. */

/** What every copy is decided by. */
export interface RetentionRules {
  now: Date;
  /** IANA name: the days, weeks, months and years of the counting rules are those of this zone. */
  timezone: string;
  storages: readonly RetainingStorage[];
  guard: {
    /** How long a database may go without a new good backup before it counts as stale. */
    staleAfterMs: (server: string, database: string) => number;
    /** How many good backups of a stale database are guarded. */
    keep: number;
  };
  /** Set when the clock is not to be trusted (`clockSuspicion`): nothing expires without a confirmation. */
  clockSuspicion?: string | undefined;
  /** The `planHash` that somebody has confirmed: exactly that plan is carried out in spite of its stops. */
  confirmedPlanHash?: string | undefined;
}

export interface RetainingStorage {
  name: string;
  offSite: boolean;
  /** False where the provider's lifecycle rule removes what is too old, and pg321 nothing. */
  expire: boolean;
  keep: KeepRules;
}

/** Each counts good backups of one database with a copy confirmed in that storage, newest first. */
export interface KeepRules {
  /** Days of 24 hours. A copy that is exactly this old is kept, an older one only by another rule. */
  days: number;
  last?: number | undefined;
  /** The newest of each of so many days that have one; the next three alike. */
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
  /** Its dump is complete. It counts as good while it has a confirmed copy, too. */
  isGood: boolean;
  /** By hand. */
  isHeld: boolean;
  /** The end of a hold; undefined for one without an end. */
  heldUntil: Date | undefined;
  /** Older than the backup that an unacknowledged alert says has shrunk. */
  shrinkSuspect: boolean;
  /** Those that take room in a storage; at most one a storage. */
  copies: readonly RetainedCopy[];
}

export interface RetainedCopy {
  storage: string;
  isConfirmed: boolean;
  /** The end of its object lock. */
  lockedUntil?: Date | undefined;
  bytes: number;
}

/** What keeps a copy that the rules of its storage would let go. */
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
  /** Set when nothing but this guard keeps the copy. */
  guard?: Guard;
  /** Set on a copy that would expire but waits for a confirmation, or for a clock to trust. */
  isSuspended?: true;
  /** Set on a copy that is past its days where the provider is to remove it. */
  isLeftToProvider?: true;
  /**
   * Storages that hold the copies because of which this one of a guarded backup may go. Each must be seen
   * there (HEAD) in the same run before this one goes; one that does not answer means hold.
   */
  reliesOn: readonly string[];
}

/** What is known of a plan once every backup has been looked at: its decisions themselves are not kept. */
export interface PlanOutline {
  /** Stops, each of which needs a look. Empty once the plan is confirmed. */
  suspended: Suspension[];
  /** Stands for what the plan lets go and for its stops; the same for the same facts in any order. */
  planHash: string;
  /** Whether that is the plan that somebody has confirmed. */
  isConfirmed: boolean;
  /**
   * The newest of the backups that are dated more than an hour ahead: they expire nothing, are no newest
   * backup, and need a look.
   */
  futureDated: FutureDated[];
  /**
   * The newest good backup of each database that has one, and where its copies stay. Before another backup
   * of that database loses its last copy, one of these must be seen there (HEAD) in the same run.
   */
  newestGood: NewestGood[];
  /** By storage. */
  counts: ReadonlyMap<string, DecisionCounts>;
  /** The stop that keeps a copy that would expire. */
  stopOf(copy: Pick<RetentionDecision, "server" | "database" | "storage">): Suspension | undefined;
  /** Makes a decision final: what a stop holds stays, and says why. Returns the same object. */
  finalDecision(decision: RetentionDecision): RetentionDecision;
}

/** Copies in one storage, each in one of these at most. */
export interface DecisionCounts {
  expiring: number;
  /** Kept by nothing but a guard. */
  guarded: number;
  /** Kept by nothing but a stop. */
  suspended: number;
}

export interface Suspension {
  kind: "clock" | "database" | "storage";
  /** Unset for the clock, which stops everything. */
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
