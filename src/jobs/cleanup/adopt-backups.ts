import { messageOf } from "../../base/errors.ts";
import { holdLease } from "../../catalog/lease.ts";
import type { JobContext } from "../context.ts";
import { recognizeStorages } from "../identity/storage-identity.ts";
import { CLEANUP_LEASE } from "./cleanup.ts";
import { adopt, orphansIn } from "./orphans.ts";

/** What one storage gave to the catalog. */
export interface AdoptedFrom {
  storage: string;
  /** Copies that were added as good. */
  adopted: number;
  /** Objects that no record knows and that were not added. */
  left: number;
  /** Why the storage could not be read; null if it could. */
  error: string | null;
}

/**
 * Adds the backups of this installation in every storage to the catalog, as `cleanup --adopt` does, and does nothing
 * else: nothing expires and nothing is removed. A storage that fails hinders no other. Throws code `locked` while a
 * cleanup runs, and what the keys throw.
 */
export async function adoptBackups(context: JobContext): Promise<AdoptedFrom[]> {
  const { catalog, clock, host, pid } = context;
  const about = { name: CLEANUP_LEASE, runId: crypto.randomUUID(), host, pid };
  await using lease = await holdLease(catalog, about, { clock, signal: context.signal });
  const leased = { ...context, signal: lease.signal };
  // Without the trusted signers nothing can be adopted: told once, before all objects are listed.
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
  try {
    adopted = (await adopt(context, storage, await orphansIn(context, storage))).length;
    return { storage: name, adopted, left: (await orphansIn(context, storage)).length, error: null };
  } catch (error) {
    context.signal.throwIfAborted();
    return { storage: name, adopted, left: 0, error: messageOf(error) };
  }
}
