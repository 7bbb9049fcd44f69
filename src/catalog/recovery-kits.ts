/** A recovery kit that was made. */
export interface RecoveryKitRecord {
  /** RFC 3339 UTC. */
  made_at: string;
  /** Of the storages and public keys at that time; see `kitFingerprint`. */
  fingerprint: string;
}

/** Good backups that were sealed to the same recipients. */
export interface SealedBackups {
  /** Any one of their identities opens these backups. Null: made before recipients were recorded, or adopted. */
  recipients: string[] | null;
  backups: number;
  first_started_at: string;
  last_started_at: string;
}

/** What a recovery kit says, and when it was made. Errors as those of `Catalog`. */
export interface RecoveryKits {
  /**
   * The one that was made last; undefined if none was. `host`: on this host of a shared catalog, or, if none was, before
   * hosts had their own.
   */
  last(host?: string): Promise<RecoveryKitRecord | undefined>;
  record(made: RecoveryKitRecord, host?: string): Promise<void>;
  /** The good encrypted backups by their recipients, newest first. */
  sealedBackups(): Promise<SealedBackups[]>;
}
