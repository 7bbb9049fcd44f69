import { messageOf } from "../../base/errors.ts";
import type { JobContext } from "../context.ts";
import { recognizeStorages } from "../markers/storage-identity.ts";
import { holdCleanup } from "./cleanup-lease.ts";
import { searchOrphans } from "./search-orphans.ts";

/** The result for one storage. */
export interface AdoptedFrom {
  storage: string;
  /** Copies that were added as good. */
  adopted: number;
  /** Objects without a record that were not added. */
  left: number;
  /** Why the storage could not be read; null if it could. */
  error: string | null;
}

/**
 * Adds the backups of this installation in every storage to the catalog, as `cleanup --adopt` does, and nothing else:
 * nothing expires and nothing is removed. A failure in one storage does not stop the others. Throws code `locked` while
 * a cleanup runs, and whatever the keys throw.
 */
export async function adoptBackups(context: JobContext): Promise<AdoptedFrom[]> {
  await using right = await holdCleanup(context);
  const leased = right.context;
  // Nothing can be adopted without the trusted signers: fail once, before listing all objects.
  await context.keys.trustedSigners();
  const recognized = await recognizeStorages(leased, "cleanup");
  const results: AdoptedFrom[] = [];
  for (const { name } of context.storages) results.push(await adoptFrom(recognized, name));
  return results;
}

async function adoptFrom(context: JobContext, name: string): Promise<AdoptedFrom> {
  const storage = context.storages.find((one) => one.name === name);
  if (!storage) throw new Error(`no storage ${name}`);
  let adopted = 0;
  const onAdopted = (copies: number) => {
    adopted += copies;
  };
  try {
    const { objects } = await searchOrphans(context, storage, { isAdopting: true, onAdopted });
    return { storage: name, adopted, left: objects, error: null };
  } catch (error) {
    context.signal.throwIfAborted();
    return { storage: name, adopted, left: 0, error: messageOf(error) };
  }
}
