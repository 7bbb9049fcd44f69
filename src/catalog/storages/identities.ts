/** A storage as the catalog knows it by the marker that lies in it. */
export interface StorageIdentity {
  /** Its name in the config. */
  name: string;
  /** The id in its marker; unique to the storage. */
  storage_id: string;
  /** When the marker was first known to exist; null: it was about to be written. */
  marked_at: string | null;
  /** The first of the names of its place when its marker was last confirmed; see `PlaceNames`. */
  place: string | null;
}

/** A storage whose records move from one name to another. */
export interface Renaming {
  from: string;
  to: string;
}

/** Identifies storages by their markers, whatever their names in the config. Errors are those of `Catalog`. */
export interface Identities {
  /** In order of name. */
  all(): Promise<StorageIdentity[]>;
  /**
   * Call before the marker of a new storage is written. Returns the identity of that name from then on: the first
   * one given.
   */
  intend(name: string, storageId: string): Promise<StorageIdentity>;
  /** Records that the marker exists. Replaces the identity of that name, and any other name of that id. */
  confirm(name: string, storageId: string, at: string, place: string | null): Promise<void>;
  /**
   * Moves the records of copies, totals and identities from the name `from` to the name `to`, all pairs at once. If
   * both have a copy of a backup, the confirmed one stays.
   */
  rename(pairs: readonly Renaming[]): Promise<void>;
  /** Keys of the newest confirmed copies in a storage, newest first. */
  newestKeys(storage: string, limit: number): Promise<string[]>;
}
