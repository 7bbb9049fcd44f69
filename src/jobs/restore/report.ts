import type { BackupRecord, RunRecord } from "../../catalog/records.ts";
import type { Selection } from "../../postgres/archive/selection.ts";
import type { BinDir } from "../../postgres/binaries.ts";
import type { Endpoint } from "../../postgres/connection.ts";
import type { Lack } from "../../postgres/restore/preflight.ts";
import type { RestoreFault } from "./faults.ts";

export interface RestoreRequest {
  backup: BackupRecord;
  /** The database that takes it. */
  target: Endpoint;
  /** The database of the target's server to connect to while `target` is not there yet. */
  maintenanceDatabase: string;
  /** Where pg_restore is. */
  binDir: BinDir;
  /** Make the database, under the name that `target` has. */
  create: boolean;
  /** The only storage to read from. */
  from: string | undefined;
  /** Sessions of pg_restore; more than one needs a temporary file of the whole dump. */
  jobs: number;
  selection: Selection;
  /** Drop what the archive holds before making it; also lets the target hold something. */
  clean: boolean;
  /** Let the target hold something. */
  intoExisting: boolean;
  keepGoing: boolean;
  dryRun: boolean;
}

export interface RestoreReport {
  run: RunRecord;
  backup: BackupRecord;
  /** What the target lacks; a restore goes on only when all of it is a risk (`isRisk`). */
  lacks: Lack[];
  /** What the target holds already, as `3 relations`. */
  target_contents: string[];
  /** What a dry run found to be in the way of the restore; any other run throws it. */
  obstacle: string | null;
  /** Objects of the target that depend on what `clean` drops, and partitions that would go along. */
  dependents: string[];
  /** Tables that came, partitions and their parents observed singly; in a dry run those that would come. */
  tables: number;
  /** Rows that came; null in a dry run, and where they could not be counted. */
  rows: number | null;
  /** Partitions that came without their parent, as `schema.table`. */
  unattached: string[];
  dump_bytes: number;
  duration_ms: number;
  errors_ignored: number;
  /** The errors that were ignored, in the order in which they came. */
  errors: RestoreFault[];
}
