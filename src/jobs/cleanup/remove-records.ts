import { DAY_MS } from "../../base/limits.ts";
import type { BackupRecord, TombstoneRecord } from "../../catalog/records.ts";
import type { JobContext } from "../context.ts";
import { hasHold } from "./hold.ts";

/**
 * Removes the records of backups of which no storage has anything any more. Those that never came about
 * stay as long as the longest `keep.days`: they tell what went wrong. Returns how many went.
 */
export async function removeEmptyRecords(context: JobContext): Promise<number> {
  const { catalog, clock, config } = context;
  const now = clock.now();
  const daysMax = Math.max(...config.storage.map(({ keep }) => keep.days));
  const failedBefore = new Date(now.getTime() - daysMax * DAY_MS).toISOString();
  let count = 0;
  for (const backup of await catalog.backupsWithoutCopies()) {
    const wasGood = await wasEverGood(context, backup);
    if (hasHold(backup, now) || (!wasGood && backup.started_at >= failedBefore)) continue;
    await removeRecord(context, backup, "retention");
    count++;
  }
  return count;
}

/** Removes the records of one backup, whose copies are all gone, and leaves its line for the history. */
export async function removeRecord(
  context: Pick<JobContext, "catalog" | "clock">,
  backup: BackupRecord,
  removed_by: TombstoneRecord["removed_by"],
): Promise<void> {
  const { id, server, database, kind, started_at, dump_bytes, object_bytes } = backup;
  await context.catalog.removeBackup({
    backup_id: id,
    server,
    database,
    kind,
    started_at,
    dump_bytes,
    object_bytes,
    was_good: await wasEverGood(context, backup),
    removed_at: context.clock.now().toISOString(),
    removed_by,
  });
}

/** A copy that was deleted had been one, so its backup was complete once. */
async function wasEverGood({ catalog }: Pick<JobContext, "catalog">, { id }: BackupRecord): Promise<boolean> {
  return (await catalog.copies(id)).some(({ state }) => state === "DELETED");
}
