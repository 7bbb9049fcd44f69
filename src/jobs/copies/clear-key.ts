import type { Storage } from "../../storage/storage.ts";
import type { JobContext } from "../context.ts";
import { recordDamage } from "./damage.ts";
import { manifestKey } from "./object-key.ts";
import { refuseLocked } from "./reconcile.ts";
import { discardUpload, removeObject } from "./removal.ts";
import type { StoredBackup } from "./store-copies.ts";
import { intendedCopy } from "./store-copies.ts";
import { readWhole } from "./stored-object.ts";

/**
 * Frees the key of a copy that is to be made anew of `from`, then intends it. Bytes that are there may be all
 * that is left of the backup, so they go only once the source has been read whole and found right. Bytes that
 * cannot be seen (older versions under a delete marker) are left alone: they do not stand in the way, and may be
 * all that is left as well. The intent comes after the removal: to `reconcile`, an intended copy whose manifest is
 * still there is a good one, and what cannot be removed may be damaged. Throws code `verification` when the source
 * is damaged, which is recorded then.
 */
export async function clearTheKey(
  context: JobContext,
  backup: StoredBackup,
  { from, to }: { from: Storage; to: Storage },
  signal: AbortSignal,
): Promise<void> {
  const { catalog } = context;
  const keys = [manifestKey(backup.object_key), backup.object_key];
  const copy = (await catalog.copies(backup.id)).find(({ storage }) => storage === to.name);
  const found = await Promise.all(keys.map((key) => to.head(key, signal)));
  const standing = keys.filter((_, index) => found[index] !== undefined);
  if (standing.length > 0) {
    const by = await readWhole(from, backup, signal).catch(async (error) => {
      await recordDamage(context, backup, from, error);
      throw error;
    });
    for (const key of standing)
      refuseLocked(to, key, await removeObject(to, key, { why: "superseded", by }, signal));
  }
  for (const key of keys)
    await discardUpload(to, key, key === backup.object_key ? (copy?.upload_id ?? null) : null, signal);
  await catalog.putCopy(intendedCopy(backup, to));
}
