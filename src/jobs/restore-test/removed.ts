import { messageOf } from "../../base/errors.ts";
import type { BackupRecord } from "../../catalog/records.ts";
import type { JobContext } from "../context.ts";
import { manifestKey } from "../copies/object-key.ts";
import { recognizeStorages } from "../markers/storage-identity.ts";
import { ownershipOf } from "../ownership.ts";
import { storageNamed } from "../storages.ts";

/**
 * On a host that tests another host's backups: records that copies are gone which that host has removed since, so that
 * each database's newest backup is one that is still there. Whether the other host meant to remove them is its own
 * matter; it counts results for its newest backup only.
 */
export async function noteRemoved(given: JobContext): Promise<void> {
  const context = await recognizeStorages(given, "restore-test");
  const { owns } = await ownershipOf(context);
  for (let isChanged = true; isChanged; ) {
    isChanged = false;
    for (const { good } of await context.catalog.overview.latestBackups(context.clock.now()))
      if (good !== null && owns(good) && (await noteCopies(context, good))) isChanged = true;
  }
}

/** Returns whether a copy is gone. */
async function noteCopies(context: JobContext, backup: BackupRecord): Promise<boolean> {
  const { catalog, log, signal } = context;
  let isGone = false;
  for (const copy of await catalog.copies(backup.id)) {
    const storage = copy.state === "CONFIRMED" ? storageNamed(context, copy.storage) : undefined;
    if (storage === undefined) continue;
    try {
      const keys = [backup.object_key, manifestKey(backup.object_key)];
      const found = await Promise.all(keys.map((key) => storage.head(key, signal)));
      if (found.some((object) => object !== undefined)) continue;
    } catch (error) {
      signal.throwIfAborted();
      const fields = { storage: storage.name, backup_id: backup.id, error: messageOf(error) };
      log.warning("a copy could not be looked for", fields);
      continue;
    }
    await catalog.updateCopy(backup.id, storage.name, { state: "MISSING", error: "another host removed it" });
    isGone = true;
  }
  return isGone;
}
