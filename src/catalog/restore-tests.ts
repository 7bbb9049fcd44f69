import type { Fence } from "./fence.ts";
import type { RestoreTestRecord } from "./records.ts";

type Ranked = Pick<RestoreTestRecord, "id" | "backup_started_at" | "finished_at">;

/**
 * Sorts tests of one database: the test of the newest backup first, the last one of it. The test of an older backup says
 * nothing about a newer one that failed. A backup dated after its test is as old as the test: its host's clock was ahead.
 */
export function byStanding(a: Ranked, b: Ranked): number {
  return (
    compare(backupDate(b), backupDate(a)) || compare(b.finished_at, a.finished_at) || compare(b.id, a.id)
  );
}

function backupDate({ backup_started_at, finished_at }: Ranked): string {
  return backup_started_at < finished_at ? backup_started_at : finished_at;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

/** The results of the restore tests of one database that a report shows. */
export interface TestStanding {
  server: string;
  database: string;
  /** The first by `byStanding` that PASSED or FAILED; null: none. */
  latest: RestoreTestRecord | null;
  /** The first by `byStanding` that PASSED; null: none. */
  passed: RestoreTestRecord | null;
  /** Of the last test, whatever its outcome. */
  newest: Pick<RestoreTestRecord, "outcome" | "prover" | "error">;
  /** Of the last ten that PASSED and measured it, newest first. `recovery_ms`: from the first request to the end of pg_restore. */
  recoveries: (Pick<RestoreTestRecord, "finished_at" | "storage"> & { recovery_ms: number })[];
}

/** The results of restore tests. Errors as those of `Catalog`. */
export interface RestoreTests {
  /** Inserts it; one that is known by its id stays as it is. */
  add(record: RestoreTestRecord, fence?: Fence): Promise<void>;
  /** Newest first by finished_at. */
  list(filter: {
    backup_id?: string;
    server?: string;
    database?: string;
    limit?: number;
  }): Promise<RestoreTestRecord[]>;
  /** Of each database that was tested, in order of server and database. */
  standings(): Promise<TestStanding[]>;
  /** When each storage's copy of a database was restored last, whatever the outcome but ERROR. */
  latestByStorage(server: string, database: string): Promise<{ storage: string; finished_at: string }[]>;
  /**
   * Deletes those that finished before the given time, without `latest` and `passed` of each database, and those of the servers that
   * are excepted. Returns their number.
   */
  prune(before: string, exceptServers?: readonly string[]): Promise<number>;
}
