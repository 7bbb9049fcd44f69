import { setImmediate } from "node:timers/promises";
import { DAY_MS } from "../../base/limits.ts";
import type { EmptyBackup } from "../../catalog/outlines.ts";
import type { TombstoneRecord } from "../../catalog/records.ts";
import type { JobContext } from "../context.ts";
import { ownershipOf, ownPages } from "../ownership.ts";
import { hasHold } from "./hold.ts";

/**
 * Removes the records of this host's backups that have no copy left in any storage. Records of backups that never completed stay
 * for the longest `keep.days`, because they show what went wrong. Returns the number removed.
 */
export async function removeEmptyRecords(context: JobContext): Promise<number> {
  const { catalog, clock, config } = context;
  const now = clock.now();
  const daysMax = Math.max(...[...config.storage, ...config.database].map(({ keep }) => keep?.days ?? 0));
  const failedBefore = new Date(now.getTime() - daysMax * DAY_MS).toISOString();
  let count = 0;
  for await (const page of ownPages(await ownershipOf(context), catalog.backupsWithoutCopies())) {
    for (const backup of page) {
      const wasGood = await wasEverGood(context, backup);
      if (hasHold(backup, now) || (!wasGood && backup.started_at >= failedBefore)) continue;
      await removeRecord(context, backup, "retention");
      count++;
      // Each removal waits for the disk, and there may be thousands.
      await setImmediate();
    }
  }
  return count;
}

/** Removes the records of one backup whose copies are all gone, and leaves a tombstone for the history. */
export async function removeRecord(
  context: Pick<JobContext, "catalog" | "clock">,
  backup: EmptyBackup,
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

/** Whether the backup was ever complete: only a confirmed copy can have been deleted. */
async function wasEverGood(
  { catalog }: Pick<JobContext, "catalog">,
  { id }: Pick<EmptyBackup, "id">,
): Promise<boolean> {
  return (await catalog.copies(id)).some(({ state }) => state === "DELETED");
}
