import type { BackupRecord, BackupStatus, CopyRecord } from "./records.ts";

/** What is asked of each of very many backups: as little as that. The rest is read of those that need work. */
export interface BackupOutline extends Pick<BackupRecord, "id" | "status" | "started_at"> {
  /** In order of storage name. */
  copies: Pick<CopyRecord, "storage" | "state">[];
}

export interface OutlineFilter {
  status?: readonly BackupStatus[];
}
