import type { CopyRecord, LockProbeRecord } from "../../catalog/records.ts";
import type { Removal, Storage } from "../../storage/storage.ts";
import type { Reliance } from "./checks.ts";
import { manifestKey } from "./object-key.ts";
import type { WholeRead } from "./stored-object.ts";

/**
 * The reasons to remove an object. There is no other; a catalog that cannot be written is not one. The proof that two of
 * them need can be created only by the code that checks it: by reading a whole copy, or by checking the remaining copies.
 */
export type RemovalReason =
  /** A run of this installation recorded the intent for this key, and no copy was ever confirmed under it. */
  | { why: "intended"; copy: Pick<CopyRecord, "storage" | "object_key" | "state"> }
  /** A good copy of the same backup was read completely in this operation and replaces it. */
  | { why: "superseded"; by: WholeRead }
  /** It has expired, and the copies that retention relies on were seen in this run. */
  | { why: "expired"; relyingOn: Reliance }
  /** A probe of this installation wrote it, to see whether the storage refuses to delete it. */
  | { why: "probe"; probe: Pick<LockProbeRecord, "storage" | "object_key"> }
  /** A person asked to delete the backup. */
  | { why: "asked" };

/**
 * The only place that removes objects: nothing else calls `Storage.remove` or `Storage.discard` (`scripts/check.ts`
 * enforces this). Throws what the storage throws, and a plain `Error` (a bug) if the reason is about another object.
 */
export async function removeObject(
  storage: Storage,
  key: string,
  reason: RemovalReason,
  signal: AbortSignal,
): Promise<Removal> {
  requireReason(storage, key, reason);
  return storage.remove(key, signal);
}

/**
 * Removes the unreadable remains of an interrupted put of this key: a temporary file or a multipart upload. The caller
 * must hold the lease of the key's database, so that no put of it is in progress.
 */
export function discardUpload(
  storage: Storage,
  key: string,
  uploadId: string | null,
  signal: AbortSignal,
): Promise<void> {
  return storage.discard(key, uploadId ?? undefined, signal);
}

function requireReason(storage: Storage, key: string, reason: RemovalReason): void {
  if (isAbout(storage, key, reason)) return;
  throw new Error(
    `storage "${storage.name}": ${key} must not be removed: "${reason.why}" is about another object`,
  );
}

function isAbout({ name }: Storage, key: string, reason: RemovalReason): boolean {
  switch (reason.why) {
    case "intended": {
      const { copy } = reason;
      const keys = [copy.object_key, manifestKey(copy.object_key)];
      return copy.state === "INTENDED" && copy.storage === name && keys.includes(key);
    }
    case "superseded": {
      const { by } = reason;
      // A good copy can replace the same object in another storage; in its own storage only the manifest can be
      // replaced.
      return key === manifestKey(by.key) || (key === by.key && by.storage !== name);
    }
    case "probe":
      return reason.probe.storage === name && reason.probe.object_key === key;
    case "expired":
    case "asked":
      return true;
  }
}
