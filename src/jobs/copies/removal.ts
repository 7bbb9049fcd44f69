import type { CopyRecord } from "../../catalog/records.ts";
import type { Removal, Storage } from "../../storage/storage.ts";
import type { Reliance } from "./looks.ts";
import { manifestKey } from "./object-key.ts";
import type { WholeRead } from "./stored-object.ts";

/**
 * Why an object may go. There is no other reason; a catalog that cannot be written is none. The evidence of
 * two of them can be made only where it arises: by reading a copy whole, by looking at the copies that stay.
 */
export type RemovalReason =
  /** The intent of a run of this installation reserved the key, and no copy was ever confirmed under it. */
  | { why: "intended"; copy: Pick<CopyRecord, "storage" | "object_key" | "state"> }
  /** A good copy of the same backup was read whole in this operation, and takes its place. */
  | { why: "superseded"; by: WholeRead }
  /** Retention lets it go, and the copies that retention relies on were seen in this run. */
  | { why: "expired"; relyingOn: Reliance }
  /** A person named the backup. */
  | { why: "asked" };

/**
 * The one gate: nothing else calls `Storage.remove` or `Storage.discard` (`scripts/check.ts` holds this). Throws
 * what the storage throws, and an `Error` (a bug) where the reason is not about this object.
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
 * Undoes what an interrupted put of this key left that nobody can read: a temporary file, a multipart upload.
 * The caller holds the lease of the key's database, so no put of it is under way.
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
      // A copy takes the place of the same object elsewhere; beside itself it only justifies a new manifest.
      return key === manifestKey(by.key) || (key === by.key && by.storage !== name);
    }
    case "expired":
    case "asked":
      return true;
  }
}
