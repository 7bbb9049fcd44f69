/** What the catalog knows of a place for copies, by the marker that lies there. */
export interface StorageIdentity {
  /** As the config calls it. */
  name: string;
  /** The id in its marker; no two storages share one. */
  storage_id: string;
  /** When the marker was first known to be there; null: it was about to be written. */
  marked_at: string | null;
  /** The first of the names of its place when its marker was last confirmed; see `PlaceNames`. */
  place: string | null;
}

/** A storage whose records go on under another name. */
export interface Renaming {
  from: string;
  to: string;
}

/** Which storage is which, whatever the config calls it. Errors as those of `Catalog`. */
export interface Identities {
  /** In order of name. */
  all(): Promise<StorageIdentity[]>;
  /** Before the marker of a new storage is written. Returns the identity of that name from then on: the first one given. */
  intend(name: string, storageId: string): Promise<StorageIdentity>;
  /** The marker is there. Replaces what was known under the name, and any other name of the id. */
  confirm(name: string, storageId: string, at: string, place: string | null): Promise<void>;
  /**
   * Records of copies, sums and identities of `from` go on as those of `to`, all pairs at once. Where both have a
   * copy of a backup, the confirmed one stays.
   */
  rename(pairs: readonly Renaming[]): Promise<void>;
  /** Keys of the newest confirmed copies in a storage, newest first. */
  newestKeys(storage: string, limit: number): Promise<string[]>;
}
