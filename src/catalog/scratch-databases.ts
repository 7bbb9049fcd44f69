/** A database that a restore test makes on a server, recorded before it exists and until it is dropped. */
export interface ScratchDatabaseRecord {
  /** The random part of its name. */
  id: string;
  run_id: string;
  /** Which server of the config: `source NAME`, or host and port. */
  server: string;
  name: string;
  /** Null: the server chooses it, and has not told yet. */
  oid: number | null;
  /** The comment of the database and of its role: installation and run. */
  comment: string;
  /** The role that was made to own it; null: none was. */
  role: string | null;
  /** Whether it has its comment, so that any other one proves that somebody changed it. */
  is_made: boolean;
  created_at: string;
}

/** The scratch databases that may exist. Errors as those of `Catalog`. */
export interface ScratchDatabases {
  add(record: ScratchDatabaseRecord): Promise<void>;
  /** It exists, with this OID, and has its comment. */
  made(id: string, oid: number): Promise<void>;
  /** In the order in which they were added. */
  all(): Promise<ScratchDatabaseRecord[]>;
  /** It is gone, or not ours any more. */
  forget(id: string): Promise<void>;
}
