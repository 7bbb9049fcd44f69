import type { Storage } from "../storage/storage.ts";
import type { JobContext } from "./context.ts";
import { checkedObject } from "./copy.ts";
import { removeIntended } from "./reconcile.ts";
import type { StoredBackup } from "./store-copies.ts";
import { intendedCopy } from "./store-copies.ts";

/**
 * Frees the key of a copy that is to be made anew of `from`, then intends it. Bytes that are there may be all
 * that is left of the backup, so they go only once the source has been read whole and found right. The intent
 * comes after them: to `reconcile`, an intended copy whose manifest is still there is a good one, and what
 * cannot be removed may be damaged.
 */
export async function clearTheKey(
  { catalog }: Pick<JobContext, "catalog">,
  backup: StoredBackup,
  { from, to }: { from: Storage; to: Storage },
  signal: AbortSignal,
): Promise<void> {
  if (await to.head(backup.object_key, signal)) {
    for await (const _ of checkedObject(from, backup, signal));
  }
  const copy = (await catalog.copies(backup.id)).find(({ storage }) => storage === to.name);
  const { object_key } = backup;
  await removeIntended(to, { object_key, upload_id: copy?.upload_id ?? null }, signal);
  await catalog.putCopy(intendedCopy(backup, to));
}
