import { Pg321Error } from "../base/errors.ts";
import { StorageRefused } from "../storage/refused.ts";
import type { Storage } from "../storage/storage.ts";
import type { JobContext } from "./context.ts";
import { readMarker } from "./shared-places.ts";

/**
 * Whether a storage still has the marker that the catalog knows: its disk may have been unmounted since the run began,
 * and a restore checks no marker before it reads. If not, an object that is not found there is not missing. True if the
 * catalog knows no marker. Throws what the storage throws.
 */
export async function isInPlace(
  { catalog, log }: Pick<JobContext, "catalog" | "log">,
  storage: Storage,
  signal: AbortSignal,
): Promise<boolean> {
  const error = await problemAt({ catalog }, storage, signal);
  if (error === undefined) return true;
  log.warning("a storage is not the expected one: its copies are not recorded as missing", {
    storage: storage.name,
    error,
  });
  return false;
}

/** Throws `StorageRefused` if the marker is not the expected one. Called before anything is written there. */
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
    const found = marker ? "it has the marker of another storage" : "its marker is missing";
    return `${found}: the disk may not be mounted, or the storage was emptied`;
  } catch (error) {
    // This says nothing about a copy.
    if (error instanceof Pg321Error && error.code === "verification") return "its marker cannot be read";
    throw error;
  }
}
