import type { BackupRecord, BackupStatus, CopyRecord } from "./records.ts";

/** The few fields that are read of very many backups. The rest is read only of backups that need work. */
export interface BackupOutline
  extends Pick<
    BackupRecord,
    | "id"
    | "run_id"
    | "server"
    | "database"
    | "status"
    | "started_at"
    | "held_at"
    | "hold_until"
    | "unreadable"
  > {
  /** In order of storage name. */
  copies: Pick<CopyRecord, "storage" | "state">[];
}

export interface OutlineFilter {
  status?: readonly BackupStatus[];
}
