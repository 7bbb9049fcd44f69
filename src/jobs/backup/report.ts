import type { BackupStatus, CopyState, RunRecord } from "../../catalog/records.ts";

/** What became of one database in a run. */
export interface BackupResult {
  server: string;
  /** Null when the server's databases could not even be listed. */
  database: string | null;
  backup_id: string | null;
  status: BackupStatus;
  dump_bytes: number | null;
  object_bytes: number | null;
  duration_ms: number;
  copies: { storage: string; state: CopyState; error: string | null }[];
  /** What pg_dump warned of. */
  warnings: string[];
  error: string | null;
  hint: string | null;
  /** The error itself, for the exit code. */
  cause?: unknown;
}

export type BackupStatistics = { databases: number; verified: number; partial: number; failed: number };

export interface BackupReport {
  run: RunRecord;
  /** The servers whose databases could be listed. */
  listed: readonly string[];
  results: BackupResult[];
}
