import { believedUntil } from "../base/newest-good.ts";
import type { BackupFilter } from "../catalog/catalog.ts";
import { isLeased } from "../catalog/database-lease.ts";
import type { BackupRecord, CopyRecord } from "../catalog/records.ts";
import type { JobContext } from "../jobs/context.ts";

export interface ListedBackup {
  backup: BackupRecord;
  copies: CopyRecord[];
  /** The host that makes it, while it is RUNNING. */
  running_on: string | null;
}

type ListContext = Pick<JobContext, "catalog" | "clock" | "host">;

/**
 * Backups with their copies, newest first; after them, unless an offset is asked for, those that are dated ahead of
 * the clock. One whose run has died shows as INTERRUPTED, settled or not.
 */
export async function listBackups(context: ListContext, filter: BackupFilter): Promise<ListedBackup[]> {
  const backups =
    filter.offset === undefined ? await newestFirst(context, filter) : await context.catalog.backups(filter);
  return Promise.all(backups.map((backup) => listed(context, backup)));
}

/** By the rule of `base/newest-good.ts`: a script that asks for the first one must not get one dated ahead. */
async function newestFirst(
  { catalog, clock }: ListContext,
  { limit, ...filter }: BackupFilter,
): Promise<BackupRecord[]> {
  const until = believedUntil(clock.now()).toISOString();
  const found = await catalog.backups({ ...filter, startedBy: until, ...(limit !== undefined && { limit }) });
  const left = limit === undefined ? undefined : limit - found.length;
  if (left === 0) return found;
  const ahead = { ...filter, startedAfter: until, ...(left !== undefined && { limit: left }) };
  return [...found, ...(await catalog.backups(ahead))];
}

export async function listed(context: ListContext, backup: BackupRecord): Promise<ListedBackup> {
  const copies = await context.catalog.copies(backup.id);
  if (backup.status !== "RUNNING") return { backup, copies, running_on: null };
  if (!(await isLeased(context, backup)))
    return { backup: { ...backup, status: "INTERRUPTED" }, copies, running_on: null };
  const [run] = (await context.catalog.runs({ outcome: "RUNNING" })).filter(({ id }) => id === backup.run_id);
  return { backup, copies, running_on: run?.host ?? null };
}
