/** How far the search through everything in a storage has come, for the next run to go on there. */
export interface ListingPosition {
  /** The storage's name in the config. */
  storage: string;
  /** `orphans`: looks for objects without a record; `adopt`: also adds them to the catalog. */
  purpose: "orphans" | "adopt";
  /** The id in the storage's marker when the search began: a position is of no use in another place. */
  storage_id: string;
  began_at: string;
  /**
   * Everything up to this key has been looked at. Null: this place was seen to list in another order than that of keys,
   * so no search there can go on where another one stopped.
   */
  after_key: string | null;
  /** The objects seen so far, and those of them without a record, which were also left without one. */
  listed: number;
  orphans: number;
  orphan_bytes: number;
}

/** Errors as those of `Catalog`. */
export interface Listings {
  position(storage: string, purpose: ListingPosition["purpose"]): Promise<ListingPosition | undefined>;
  /** Replaces the position of the same storage and purpose. */
  keep(position: ListingPosition): Promise<void>;
  forget(storage: string, purpose: ListingPosition["purpose"]): Promise<void>;
}
