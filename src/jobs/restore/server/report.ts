import type { BinDir } from "../../../postgres/binaries.ts";
import type { Endpoint } from "../../../postgres/connection.ts";
import type { GlobalsReport } from "../with-globals.ts";
import type { LeftOutDatabase } from "./choose.ts";

export interface ServerRestoreRequest {
  /** The server that was backed up. */
  server: string;
  /** The moment; undefined: the newest backups. */
  at: Date | undefined;
  /** The target's server, connected to its maintenance database. */
  target: Endpoint;
  binDir: BinDir;
  from: string | undefined;
  /** Sessions for each database. */
  jobs: number | undefined;
  databasesAtOnce: number;
  /** Skip what an earlier restore to this target has finished. */
  resume: boolean;
  dryRun: boolean;
}

/** `planned` only in a dry run. */
export type DatabaseOutcome = "restored" | "partial" | "skipped" | "failed" | "planned";

export interface RestoredDatabase {
  database: string;
  backup_id: string;
  started_at: string;
  outcome: DatabaseOutcome;
  tables: number | null;
  rows: number | null;
  duration_ms: number | null;
  error: string | null;
  hint: string | null;
}

export interface ServerRestoreReport {
  /** The run that records the restore of the whole server; null for a dry run. */
  run_id: string | null;
  server: string;
  /** Null: there is no backup of the globals; the roles that a database needs are created without login. */
  globals: GlobalsReport | null;
  databases: RestoredDatabase[];
  left_out: LeftOutDatabase[];
  /** Risks of the whole restore, known beforehand. */
  warnings: string[];
  /** In a dry run: the target has databases of these names, so the restore would change nothing. */
  isRefused: boolean;
  /** The error of the first database that failed. */
  cause?: unknown;
}
