import type { BackupFilter, BackupRecord, CopyRecord } from "../catalog/catalog.ts";
import type { JobContext } from "./context.ts";
import { isLeased } from "./reconcile.ts";

export interface ListedBackup {
  backup: BackupRecord;
  copies: CopyRecord[];
  /** The host that makes it, while it is RUNNING. */
  running_on: string | null;
}

type ListContext = Pick<JobContext, "catalog" | "clock" | "host">;

/** Backups with their copies, newest first. One whose run has died shows as INTERRUPTED, settled or not. */
export async function listBackups(context: ListContext, filter: BackupFilter): Promise<ListedBackup[]> {
  const backups = await context.catalog.backups(filter);
  return Promise.all(backups.map((backup) => listed(context, backup)));
}

export async function listed(context: ListContext, backup: BackupRecord): Promise<ListedBackup> {
  const copies = await context.catalog.copies(backup.id);
  if (backup.status !== "RUNNING") return { backup, copies, running_on: null };
  if (!(await isLeased(context, backup)))
    return { backup: { ...backup, status: "INTERRUPTED" }, copies, running_on: null };
  const [run] = (await context.catalog.runs({ outcome: "RUNNING" })).filter(({ id }) => id === backup.run_id);
  return { backup, copies, running_on: run?.host ?? null };
}
