import { Pg321Error } from "../../base/errors.ts";
import { timeText } from "../../base/text/zoned-time.ts";
import type { CopyRecord } from "../../catalog/records.ts";
import type { StorageConfig } from "../../config/config.ts";
import { lockEndInForce, lockPlace } from "../../storage/immutability.ts";
import type { Removal, Storage } from "../../storage/storage.ts";
import type { JobContext } from "../context.ts";
import { manifestKey } from "./object-key.ts";
import { discardUpload, removeObject } from "./removal.ts";

/**
 * Removes the remains of one intended copy, manifest first, so that no manifest is left without its object. An object
 * that cannot be seen is not removed: older versions under a delete marker do not belong to this intent.
 */
export async function removeIntended(storage: Storage, copy: CopyRecord, signal: AbortSignal): Promise<void> {
  const { object_key: key, upload_id } = copy;
  for (const [one, upload] of [[manifestKey(key), null] as const, [key, upload_id] as const]) {
    await discardUpload(storage, one, upload, signal);
    if ((await storage.head(one, signal)) === undefined) continue;
    refuseLocked(storage, one, await removeObject(storage, one, { why: "intended", copy }, signal));
  }
}

/** An object could not be removed, because it or an older version of it is locked. */
export class LockedInPlace extends Pg321Error {
  readonly until: Date;

  constructor(storage: Storage, key: string, until: Date) {
    super("storage", `storage "${storage.name}": remove ${key}: locked until ${timeText(until)}`);
    this.until = until;
  }
}

/** Throws `LockedInPlace` if the removal left the object in place because it is locked. */
export function refuseLocked(storage: Storage, key: string, removal: Removal): void {
  if (removal.outcome === "locked") throw new LockedInPlace(storage, key, removal.lockedUntil);
}

/** The change of the record of an intended copy whose remains are locked; the first run after that removes them. */
export function lockedRemains({ settings }: Storage, { until }: LockedInPlace): Partial<CopyRecord> {
  const locked_until = until.toISOString();
  return { error: remainsText(locked_until), locked_until, lock_place: lockPlace(settings) };
}

export function remainsText(until: string): string {
  return `the remains of an unfinished copy are locked until ${timeText(until)}; they are removed then`;
}

/** Every copy with an intent, in order of backup id. They may be settled meanwhile. */
export async function* intendedCopies({ catalog }: Pick<JobContext, "catalog">): AsyncGenerator<CopyRecord> {
  let page = await catalog.copiesInState("INTENDED");
  for (; page.length > 0; page = await catalog.copiesInState("INTENDED", page.at(-1))) yield* page;
}

/** Until when the remains of an intended copy are locked, by its record; undefined if they are not, or not any more. */
export function remainsLockedUntil(settings: StorageConfig, copy: CopyRecord, now: Date): string | undefined {
  if (copy.state !== "INTENDED") return undefined;
  const until = lockEndInForce(settings, copy);
  return until !== null && new Date(until) > now ? until : undefined;
}
