import { Pg321Error } from "../base/errors.ts";
import { StorageRefused } from "../storage/refused.ts";
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
  const error = await problemAt({ catalog }, storage, signal);
  if (error === undefined) return true;
  log.warning("a storage is not the expected one: nothing in it counts as missing", {
    storage: storage.name,
    error,
  });
  return false;
}

/** Throws `StorageRefused` where it does not, before anything is written there. */
export async function requireInPlace(
  { catalog }: Pick<JobContext, "catalog">,
  storage: Storage,
  signal: AbortSignal,
): Promise<void> {
  const problem = await problemAt({ catalog }, storage, signal);
  if (problem === undefined) return;
  const hint = `mount its disk or correct the config; if the place is right: pg321 storage accept ${storage.name}`;
  throw new StorageRefused(storage.name, problem, hint);
}

async function problemAt(
  { catalog }: Pick<JobContext, "catalog">,
  storage: Storage,
  signal: AbortSignal,
): Promise<string | undefined> {
  const known = (await catalog.identities.all()).find(({ name }) => name === storage.name);
  if (known === undefined || known.marked_at === null) return undefined;
  try {
    const marker = await readMarker(storage, signal);
    if (marker?.storage_id === known.storage_id) return undefined;
    const found = marker ? "its place has the marker of another storage" : "its marker is gone";
    return `${found}: its disk may not be mounted, or its place was emptied`;
  } catch (error) {
    // It says nothing of a copy.
    if (error instanceof Pg321Error && error.code === "verification") return "its marker cannot be read";
    throw error;
  }
}
