/** Which copies are summed up. */
export interface UsageFilter {
  server?: string;
  database?: string;
  storage?: string;
}

/** What the copies of one database take in one storage. */
export interface StoredBytes {
  server: string;
  database: string;
  storage: string;
  /** Copies that take room: CONFIRMED, DAMAGED, DELETING and HIDDEN. */
  copies: number;
  /** Their objects, without the manifests. */
  bytes: number;
  /** Of these, objects that only their old versions keep: HIDDEN. */
  hidden_bytes: number;
  /** When the oldest and the newest of these backups began; "newest" by the rule of `base/newest-good.ts`. */
  oldest_started_at: string;
  newest_started_at: string;
  /** The size of the object of that newest backup. */
  newest_bytes: number;
}

/** How fast what is stored grows. */
export interface StoredGrowth {
  server: string;
  database: string;
  storage: string;
  /** On average; negative if it shrinks. */
  bytes_per_month: number;
}

/** What was stored in one storage at the end of a month; of the current month: until now. */
export interface StoredMonth {
  /** `2026-11`, in UTC. */
  month: string;
  storage: string;
  /** Confirmed copies only. */
  copies: number;
  bytes: number;
  /** More, or less, than at the end of the month before; null if that is not known. */
  growth_bytes: number | null;
}

/** The room that copies take. Every sum is the catalog's, not the caller's. Errors as those of `Catalog`. */
export interface Usage {
  /** Largest database first, then by storage; only storages with copies that take room. */
  stored(filter: UsageFilter, now: Date): Promise<StoredBytes[]>;
  /**
   * From the end of one month to the end of the last complete one, at most `months` months later. Empty until the
   * catalog has recorded the ends of two months.
   */
  growth(filter: UsageFilter, months: number, now: Date): Promise<StoredGrowth[]>;
  /**
   * The last `months` months, the current one included, oldest first, then by storage. It begins with the month in
   * which the catalog began to record them, and covers three years.
   */
  months(filter: UsageFilter, months: number, now: Date): Promise<StoredMonth[]>;
}
