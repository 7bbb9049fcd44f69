import type { BackupStatus, CopyState, RunRecord } from "../../catalog/records.ts";

/** The result for one database in a run. */
export interface BackupResult {
  server: string;
  /** Null if the server's databases could not be listed. */
  database: string | null;
  backup_id: string | null;
  status: BackupStatus;
  dump_bytes: number | null;
  object_bytes: number | null;
  duration_ms: number;
  copies: { storage: string; state: CopyState; error: string | null; hint: string | null }[];
  /** The warnings of pg_dump. */
  warnings: string[];
  /** How far the standby that was dumped lay behind its primary; null: no standby, or not known. */
  standby_lag_ms: number | null;
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
  /** The globals of the servers, one for each; `database` is `GLOBALS_DATABASE`. */
  globals: BackupResult[];
}
