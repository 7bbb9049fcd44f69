import type { Storage } from "../storage/storage.ts";
import type { JobContext } from "./context.ts";
import { readMarker } from "./shared-places.ts";

/**
 * Whether a storage lies where the catalog knows it, as its marker tells now: a disk may have gone since the run
 * began, and a restore looks at none before it reads. What is not found elsewhere is not missing. True where no
 * marker is known. Throws what the storage throws.
 */
export async function isInPlace(
  { catalog, log }: Pick<JobContext, "catalog" | "log">,
  storage: Storage,
  signal: AbortSignal,
): Promise<boolean> {
  const known = (await catalog.identities.all()).find(({ name }) => name === storage.name);
  if (known === undefined || known.marked_at === null) return true;
  const marker = await readMarker(storage, signal);
  if (marker?.storage_id === known.storage_id) return true;
  const found = marker ? "its place has the marker of another storage" : "its marker is gone";
  const error = `${found}: its disk may not be mounted, or its place was emptied`;
  log.warning("nothing counts as missing in a storage that lies elsewhere", { storage: storage.name, error });
  return false;
}
