import type { BackupRecord, RunRecord } from "../../catalog/records.ts";
import type { Selection } from "../../postgres/archive/selection.ts";
import type { BinDir } from "../../postgres/binaries.ts";
import type { Endpoint } from "../../postgres/connection.ts";
import type { LeftOut } from "../../postgres/restore/left-out.ts";
import type { Ownership } from "../../postgres/restore/ownership.ts";
import type { Lack } from "../../postgres/restore/preflight.ts";
import type { Session, SessionInTheWay } from "../../postgres/sessions.ts";
import type { RestoreFault } from "../load/faults.ts";
import type { GlobalsReport } from "./with-globals.ts";

export interface RestoreRequest {
  backup: BackupRecord;
  /** The database to restore into. */
  target: Endpoint;
  /** The database of the target's server to connect to while `target` does not exist yet. */
  maintenanceDatabase: string;
  /** The directory of pg_restore. */
  binDir: BinDir;
  /** Create the database, with the name in `target`. */
  create: boolean;
  /** Create the roles that the target lacks, without login. */
  createRoles: boolean;
  /** Create what the target lacks of the roles and memberships that the database needs, from a backup of globals. */
  withGlobals: boolean;
  /** The only storage to read from. */
  from: string | undefined;
  /**
   * Parallel jobs of pg_restore. Of a backup of one stream, 1 if not given; more need a temporary file of the whole dump.
   * Of a backup of several streams they build the indexes; as many as streams if not given.
   */
  jobs: number | undefined;
  selection: Selection;
  ownership: Ownership;
  /** Drop the archive's objects before creating them; also allows a target that is not empty. */
  clean: boolean;
  /** Allow a target that is not empty. */
  intoExisting: boolean;
  /** Allow to replace the contents of the very database that was backed up. */
  intoSource: boolean;
  /** End sessions of others that hold a lock in the way. */
  terminate: boolean;
  keepGoing: boolean;
  dryRun: boolean;
}

/** Something that prevents a restore. */
export interface Obstacle {
  kind:
    | "read-only"
    | "exists"
    | "lacks"
    | "needs"
    | "dependents"
    | "contents"
    | "sessions"
    | "rights"
    | "source"
    | "order"
    | "not-movable";
  message: string;
  hint: string;
}

export interface EmptyTable {
  /** As `schema.table`, in the target. */
  table: string;
  /** Counted when the backup was made. */
  rows_recorded: number;
}

export interface RestoreReport {
  run: RunRecord;
  backup: BackupRecord;
  /** What the target lacks; the restore continues only if all of it is merely a risk (`isRisk`). */
  lacks: Lack[];
  /** Roles that were created, or would be in a dry run. */
  roles_created: string[];
  /** What was created of the globals, or would be in a dry run; null: not asked for. */
  globals: GlobalsReport | null;
  /** The present contents of the target, as `3 relations`. */
  target_contents: string[];
  /** Whether the target is the very database that was backed up. */
  is_source: boolean;
  /** What prevents the restore, in a dry run; any other run throws it. */
  obstacle: string | null;
  /** Everything that prevents it, in a dry run; `obstacle` is the first. */
  obstacles: Obstacle[];
  /** Objects of the target that depend on what `clean` drops, and partitions that would be dropped with it. */
  dependents: string[];
  /** With `clean`: sessions that hold a lock on what would be dropped, when the target was checked. */
  sessions: SessionInTheWay[];
  /** Sessions that were ended. */
  terminated: Session[];
  /**
   * The number of restored tables, with partitions and their parents counted separately; in a dry run, of those that
   * would be restored.
   */
  tables: number;
  /** The number of restored rows; null in a dry run, or if they could not be counted. */
  rows: number | null;
  /** Whether only a part of the backup was selected. */
  is_selection: boolean;
  /** The entries that pg_restore would run, as `TABLE public.orders`, in their order; empty if it is no dry run. */
  entries: string[];
  /** Consequences of the options that a person should know. */
  notes: string[];
  /** Tables that hold no row although the backup recorded some. */
  empty_tables: EmptyTable[];
  /** Partitions restored without their parent, as `schema.table`. */
  unattached: string[];
  /** Parts of the selected objects that were not restored because the target lacks what they need. */
  left_out: LeftOut[];
  /** Objects that depend on the selected ones and do not exist in the target, such as foreign keys of other tables. */
  missing_dependents: LeftOut[];
  /** What the config left out of the dump: `without table public.log`; null: nothing, or not known. */
  not_in_backup: string | null;
  dump_bytes: number;
  duration_ms: number;
  errors_ignored: number;
  /** The ignored errors, in order. */
  errors: RestoreFault[];
  /** Tables and materialized views that got none of the backup's rows because of an error, as `schema.name`. */
  unfilled: string[];
}
