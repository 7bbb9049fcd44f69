import type { RestoreTestRecord } from "./records.ts";

/** The results of restore tests. Errors as those of `Catalog`. */
export interface RestoreTests {
  /** Inserts it; one that is known by its id stays as it is. */
  add(record: RestoreTestRecord): Promise<void>;
  /** Newest first by finished_at. */
  list(filter: {
    backup_id?: string;
    server?: string;
    database?: string;
    limit?: number;
  }): Promise<RestoreTestRecord[]>;
  /** Of each database the newest that PASSED or FAILED, in order of server and database. */
  latest(): Promise<RestoreTestRecord[]>;
  /** Of each database the newest that PASSED, in order of server and database. */
  latestPassed(): Promise<RestoreTestRecord[]>;
  /** When each storage's copy of a database was restored last, whatever the outcome but ERROR. */
  latestByStorage(server: string, database: string): Promise<{ storage: string; finished_at: string }[]>;
  /**
   * Deletes those that finished before the given time, without the newest and the newest that PASSED of each
   * database. Returns their number.
   */
  prune(before: string): Promise<number>;
}
