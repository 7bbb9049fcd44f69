import { DAY_MS, LISTED_MAX } from "../../base/limits.ts";
import { isAhead } from "../../base/newest-good.ts";
import type { ListingPosition } from "../../catalog/storages/listings.ts";
import type { Storage, StoredObject } from "../../storage/storage.ts";
import type { JobContext } from "../context.ts";
import { ProgressMeter } from "../progress.ts";
import { type Adoption, adopt } from "./adopt-orphans.ts";
import { type OrphanBatch, orphansIn } from "./orphans.ts";
import type { Orphan, OrphanCount } from "./report.ts";

/** After this time a search begins anew. */
const POSITION_MS_MAX = DAY_MS;

/** The result for one storage, once everything in it has been looked at. */
export interface OrphanSearch extends OrphanCount {
  /** The first of them; without those that an earlier run found. */
  named: Orphan[];
  /** All objects seen, also by an earlier run. */
  listed: number;
  /** Where an earlier run had stopped, and when the search began; undefined if this run began it. */
  resumed: { afterKey: string; beganAt: string } | undefined;
}

/**
 * Looks for objects without a record in a storage, and adds those to the catalog that are copies of ours if `isAdopting`.
 * Keeps its position in the catalog: if it is cut off, or the storage fails, the next search of this kind goes on there.
 * Throws if not everything was listed. `onAdopted`: gets the number of copies that were added as good, again and again.
 */
export async function searchOrphans(
  context: JobContext,
  storage: Storage,
  { isAdopting, onAdopted }: { isAdopting: boolean; onAdopted?: (copies: number) => void },
): Promise<OrphanSearch> {
  const { isOrdered, ...rest } = await searchPart(context, storage, { isAdopting, onAdopted });
  if (!isAdopting || rest.resumed === undefined) return rest;
  // Backups of other hosts may have come before that key since.
  const until = isOrdered ? rest.resumed.afterKey : undefined;
  const { isOrdered: _, ...first } = await searchPart(context, storage, { isAdopting, onAdopted, until });
  if (until === undefined) return { ...first, resumed: rest.resumed };
  return {
    storage: storage.name,
    objects: first.objects + rest.objects,
    bytes: first.bytes + rest.bytes,
    named: [...first.named, ...rest.named].slice(0, LISTED_MAX),
    listed: first.listed + rest.listed,
    resumed: rest.resumed,
  };
}

interface PartOptions {
  isAdopting: boolean;
  onAdopted?: ((copies: number) => void) | undefined;
  /** The last key to look at. */
  until?: string | undefined;
}

/** Looks at everything from where an earlier run stopped, or from the beginning. */
async function searchPart(
  context: JobContext,
  storage: Storage,
  { isAdopting, onAdopted, until }: PartOptions,
): Promise<OrphanSearch & { isOrdered: boolean }> {
  const { catalog } = context;
  const search = await begin(context, storage, isAdopting ? "adopt" : "orphans");
  const { position } = search;
  const resumed =
    position.after_key === null ? undefined : { afterKey: position.after_key, beganAt: position.began_at };
  const named: Orphan[] = [];
  const take = isAdopting ? adopt : leave;
  using progress = isAdopting ? progressIn(context, storage) : undefined;
  for await (const batch of orphansIn(context, storage, { after: resumed?.afterKey, until })) {
    const adoption = await take(context, storage, batch.orphans);
    progress?.meter.pass(batch.orphans.length);
    onAdopted?.(adoption.adopted);
    const [left, newlyNamed] = countOrphans(storage, adoption.left);
    position.orphans += left.objects;
    position.orphan_bytes += left.bytes;
    named.push(...newlyNamed.slice(0, LISTED_MAX - named.length));
    position.listed += batch.listed;
    await keep(context, search, batch);
  }
  progress?.meter.readAll();
  if (search.isOrdered && search.isKept) await catalog.listings.forget(storage.name, position.purpose);
  return {
    storage: storage.name,
    objects: position.orphans,
    bytes: position.orphan_bytes,
    named,
    listed: position.listed,
    resumed,
    isOrdered: search.isOrdered,
  };
}

/** What a report says of some orphans. */
export function countOrphans(
  { name: storage }: Storage,
  objects: readonly StoredObject[],
): [count: OrphanCount, named: Orphan[]] {
  const bytes = objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const named = objects.map(({ key, sizeBytes }) => ({ storage, key, size_bytes: sizeBytes }));
  return [{ storage, objects: objects.length, bytes }, named];
}

interface Search {
  position: ListingPosition;
  /** Whether the storage has always listed in key order: only then can a search go on after a key. */
  isOrdered: boolean;
  /** Whether the catalog has a position. */
  isKept: boolean;
}

async function begin(
  { catalog, clock, log }: JobContext,
  { name }: Storage,
  purpose: ListingPosition["purpose"],
): Promise<Search> {
  const identity = (await catalog.identities.all()).find((one) => one.name === name);
  const storage_id = identity?.storage_id ?? "";
  const known = await catalog.listings.position(name, purpose);
  const isHere = known !== undefined && storage_id !== "" && known.storage_id === storage_id;
  const counts = { listed: 0, orphans: 0, orphan_bytes: 0 };
  if (isHere && known.after_key !== null && isFresh(known, clock.now())) {
    const fields = { storage: name, after: known.after_key, since: known.began_at };
    log.info("the search for objects without a record continues where an earlier run stopped", fields);
    // What comes before is looked at again, and counted then.
    const position = purpose === "adopt" ? { ...known, ...counts } : known;
    return { position, isOrdered: true, isKept: true };
  }
  const began_at = clock.now().toISOString();
  const position = { storage: name, purpose, storage_id, began_at, after_key: null, ...counts };
  return { position, isOrdered: !isHere || known.after_key !== null, isKept: known !== undefined };
}

/** The counts of an old search are no longer true; nor is a date ahead of the clock, as in a catalog that came back. */
function isFresh({ began_at }: ListingPosition, now: Date): boolean {
  const began = new Date(began_at);
  return !isAhead(began, now) && now.getTime() - began.getTime() < POSITION_MS_MAX;
}

/** Records that everything up to the end of this batch has been looked at. */
async function keep(
  { catalog, log }: JobContext,
  search: Search,
  { last, isOrdered, isLast }: OrphanBatch,
): Promise<void> {
  const { position } = search;
  if (position.storage_id === "" || !search.isOrdered) return;
  if (!isOrdered) {
    search.isOrdered = false;
    const fields = { storage: position.storage, after: last };
    log.info("the storage does not list in the order of keys: a search there always begins anew", fields);
  } else if (isLast) return;
  position.after_key = isOrdered ? last : null;
  await catalog.listings.keep(position);
  search.isKept = true;
}

async function leave(_context: JobContext, _storage: Storage, left: StoredObject[]): Promise<Adoption> {
  return { adopted: 0, left };
}

function progressIn({ progress }: JobContext, { name }: Storage): { meter: ProgressMeter } & Disposable {
  const title = `look at objects without a record in ${name}`;
  const meter = new ProgressMeter(progress, title, undefined, [], { unit: "objects" });
  return { meter, [Symbol.dispose]: () => meter.end() };
}
