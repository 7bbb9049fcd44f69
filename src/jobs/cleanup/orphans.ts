import { compareKeys } from "../../storage/key.ts";
import { MARKER_KEY } from "../../storage/marker.ts";
import type { Storage, StoredObject } from "../../storage/storage.ts";
import type { JobContext } from "../context.ts";
import { objectOf, serverOfKey } from "../copies/object-key.ts";
import { ownershipOf } from "../ownership.ts";

/** Objects that are listed before the catalog is asked about them. */
const LISTED_AT_ONCE = 1_000;
/** More beside one object would be somebody else's litter. */
const LISTED_AT_ONCE_MAX = 2_000;

/** More removals than hosts make in the time by which their clocks differ. */
const REMOVALS_COMPARED = 100;

/** A part of what a storage lists. */
export interface OrphanBatch {
  /** Those without a record. */
  orphans: StoredObject[];
  /** The number of objects listed. */
  listed: number;
  last: string;
  /** Whether the storage listed them in key order, after those before. */
  isOrdered: boolean;
  /** Whether this is the end of the list. */
  isLast: boolean;
}

/**
 * Objects under the storage's prefix that have no record, some hundreds at a time; only these are in memory. An object,
 * its manifest and its results of restore tests come together. Throws if the storage does not list everything.
 */
export async function* orphansIn(
  context: JobContext,
  storage: Storage,
  { after, until }: { after?: string | undefined; until?: string | undefined } = {},
): AsyncGenerator<OrphanBatch> {
  const removals = await lastRemovals(context);
  let batch: StoredObject[] = [];
  let last = after;
  let isOrdered = true;
  const orphansOf = async (listed: StoredObject[], isLast: boolean): Promise<OrphanBatch> => {
    const { found, isDeleted } = await unrecorded(context, storage, listed);
    const isQuiet = found.length === 0 || removals === (await lastRemovals(context));
    const isInDoubt = (object: StoredObject) => !isQuiet || isDeleted(object);
    const orphans: StoredObject[] = [];
    for (const object of found)
      if (!isInDoubt(object) || (await storage.head(object.key, context.signal))) orphans.push(object);
    return { orphans, listed: listed.length, last: last ?? "", isOrdered, isLast };
  };
  for await (const object of storage.list("", context.signal, { after })) {
    const isNextGroup = last === undefined || objectOf(object.key) !== objectOf(last);
    if ((batch.length >= LISTED_AT_ONCE && isNextGroup) || batch.length >= LISTED_AT_ONCE_MAX) {
      yield await orphansOf(batch, false);
      batch = [];
    }
    isOrdered &&= last === undefined || compareKeys(last, object.key) < 0;
    if (until !== undefined && isOrdered && compareKeys(object.key, until) > 0) break;
    last = object.key;
    if (object.key !== MARKER_KEY) batch.push(object);
  }
  if (batch.length > 0) yield await orphansOf(batch, true);
}

/**
 * Those of the objects that have no record. Records are written before objects, so they are looked for afterwards.
 * `isDeleted`: there is a record that says so, which may be younger than the listing.
 */
async function unrecorded(
  { catalog }: JobContext,
  { name }: Storage,
  objects: readonly StoredObject[],
): Promise<{ found: StoredObject[]; isDeleted: (object: StoredObject) => boolean }> {
  const keys = new Set(objects.flatMap(({ key }) => [key, objectOf(key)]));
  const states = await catalog.copyStates(name, [...keys]);
  const isRecorded = (key: string) => (states.get(key) ?? "DELETED") !== "DELETED";
  const isDeleted = ({ key }: StoredObject) => states.has(key) || states.has(objectOf(key));
  const found = objects.filter(({ key }) => !isRecorded(key) && !isRecorded(objectOf(key)));
  if (found.length === 0) return { found, isDeleted };
  const probes = new Set<string>();
  for (const probe of await catalog.lockProbes.standing())
    if (probe.storage === name) probes.add(probe.object_key);
  return { found: found.filter(({ key }) => !probes.has(key) && !probes.has(objectOf(key))), isDeleted };
}

/**
 * Changes when a backup is removed: its objects may have been listed before. If the clock of the host that removed it is
 * behind, it is not the newest removal.
 */
async function lastRemovals({ catalog }: JobContext): Promise<string> {
  const removed = await catalog.tombstones({ limit: REMOVALS_COMPARED });
  return removed.map(({ backup_id }) => backup_id).join();
}

/** Of the given keys, those of recorded objects of this host's servers, and their manifests, on which no run works. */
export async function settledKeys(
  context: Pick<JobContext, "catalog" | "clock" | "config" | "host">,
  { name }: Storage,
  keys: readonly string[],
): Promise<Set<string>> {
  const { catalog } = context;
  const { ownsServer } = await ownershipOf(context);
  const states = await catalog.copyStates(name, [...new Set(keys.flatMap((key) => [key, objectOf(key)]))]);
  // A run or `reconcile` still works on intended copies, and they may be older than a week.
  const isSettled = (key: string) => !["DELETED", "INTENDED"].includes(states.get(key) ?? "DELETED");
  return new Set(
    keys.filter((key) => ownsServer(serverOfKey(key)) && (isSettled(key) || isSettled(objectOf(key)))),
  );
}
