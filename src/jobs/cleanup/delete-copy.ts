import { messageOf, Pg321Error } from "../../base/errors.ts";
import type { CopyRecord } from "../../catalog/records.ts";
import { endOf, hasBucketRule, lockPlace } from "../../storage/immutability.ts";
import type { Removal, Storage } from "../../storage/storage.ts";
import type { JobContext } from "../context.ts";
import { manifestKey, objectOf, resultPrefix } from "../copies/object-key.ts";
import type { RemovalReason } from "../copies/removal.ts";
import { removeObject } from "../copies/removal.ts";

/** `gone`: the object no longer existed. */
export type Deletion = { outcome: "deleted" | "hidden" | "gone" } | { outcome: "locked"; lockedUntil: Date };

/**
 * Removes one copy for good: mark its record (DELETING), remove manifest and object, check that they are gone, update
 * the record. If the run dies in between, the next cleanup continues from the mark. Throws what the storage throws;
 * the mark then stays, with the error. A locked copy is left as it is, with the end of the lock recorded.
 */
export async function deleteCopy(
  { catalog, clock }: Pick<JobContext, "catalog" | "clock">,
  storage: Storage,
  copy: CopyRecord,
  reason: RemovalReason,
  signal: AbortSignal,
): Promise<Deletion> {
  const record = (change: Partial<CopyRecord>) => catalog.updateCopy(copy.backup_id, copy.storage, change);
  const keys = [manifestKey(copy.object_key), copy.object_key];
  const found = await Promise.all(keys.map((key) => storage.head(key, signal)));
  const locks = found.flatMap((object) => object?.lockedUntil ?? []);
  const lockedUntil = locks.sort((a, b) => b.getTime() - a.getTime())[0];
  if (lockedUntil && lockedUntil > clock.now()) {
    await record(lockedAt(storage, lockedUntil));
    return { outcome: "locked", lockedUntil };
  }
  const ruleEnd = hasBucketRule(storage.settings) ? endOf(storage.settings, copy) : undefined;
  if (ruleEnd && ruleEnd > clock.now()) return { outcome: "locked", lockedUntil: ruleEnd };
  await record({
    state: "DELETING",
    locked_until: null,
    lock_mode: null,
    lock_error: null,
    lock_place: null,
  });
  try {
    const removals: Removal[] = [];
    for await (const key of keysOf(storage, copy, signal)) {
      const removal = await removeConfirmed(storage, key, reason, signal);
      if (removal.outcome !== "locked") removals.push(removal);
      else {
        // An older version is locked. Nothing is lost yet unless the manifest went first.
        const state = removals.length === 0 ? copy.state : "DELETING";
        await record({ state, ...lockedAt(storage, removal.lockedUntil) });
        return removal;
      }
    }
    const isHidden = removals.some(({ outcome }) => outcome === "hidden");
    const wasThere = copy.state === "HIDDEN" || found.some((object) => object !== undefined);
    await record({ state: isHidden ? "HIDDEN" : "DELETED", error: null });
    if (isHidden) return { outcome: "hidden" };
    return { outcome: wasThere ? "deleted" : "gone" };
  } catch (error) {
    signal.throwIfAborted();
    await record({ error: messageOf(error) });
    throw error;
  }
}

function lockedAt({ settings }: Storage, lockedUntil: Date): Partial<CopyRecord> {
  return { locked_until: lockedUntil.toISOString(), lock_place: lockPlace(settings) };
}

/**
 * The keys to remove, in this order: manifest, object, and the results of restore tests, which other hosts put beside
 * it and nobody else would remove.
 */
async function* keysOf(storage: Storage, { object_key }: CopyRecord, signal: AbortSignal) {
  yield* [manifestKey(object_key), object_key];
  for await (const { key } of storage.list(resultPrefix(object_key), signal))
    if (objectOf(key) === object_key) yield key;
}

/** Removes an object and checks that it is gone. */
async function removeConfirmed(
  storage: Storage,
  key: string,
  reason: RemovalReason,
  signal: AbortSignal,
): Promise<Removal> {
  const removal = await removeObject(storage, key, reason, signal);
  const what = `storage "${storage.name}": remove ${key}`;
  if (removal.outcome === "locked") return removal;
  if (await storage.head(key, signal))
    throw new Pg321Error("storage", `${what}: it is still there although the storage reported it removed`);
  return removal;
}
