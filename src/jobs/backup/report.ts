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
  warnings: BackupWarning[];
  /** How far the standby that was dumped was behind its primary; null: not a standby, or unknown. */
  standby_lag_ms: number | null;
  error: string | null;
  hint: string | null;
  /** The error itself, for the exit code. */
  cause?: unknown;
}

export interface BackupWarning {
  /** The program that printed it; unset for a hook and for a snapshot that was not taken with the others. */
  by?: "pg_dump" | "pg_dumpall";
  text: string;
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
