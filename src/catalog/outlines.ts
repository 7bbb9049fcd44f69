import type { BackupRecord, BackupStatus, CopyRecord } from "./records.ts";

/** The few fields that are read of very many backups. The rest is read only of backups that need work. */
export interface BackupOutline
  extends Pick<
    BackupRecord,
    | "id"
    | "run_id"
    | "server"
    | "database"
    | "host"
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
  server?: string;
  database?: string;
  status?: readonly BackupStatus[];
  /** Also backups without a manifest: no copy of them was ever complete. */
  isAny?: boolean;
}

/** What the removal of a record needs to know about its backup. */
export type EmptyBackup = Pick<
  BackupRecord,
  | "id"
  | "server"
  | "database"
  | "host"
  | "kind"
  | "started_at"
  | "dump_bytes"
  | "object_bytes"
  | "held_at"
  | "hold_until"
>;

/** A copy, and the database it belongs to. */
export type PlacedCopy = Pick<CopyRecord, "backup_id" | "storage"> &
  Pick<BackupRecord, "server" | "database" | "host">;
