import { messageOf, Pg321Error } from "../../base/errors.ts";
import type { OlderVersion, Storage } from "../../storage/storage.ts";
import type { JobContext } from "../context.ts";
import { recordDamage } from "../copies/damage.ts";
import { lockFor, lockStoredCopy } from "../copies/locks.ts";
import type { StoredBackup } from "../copies/steps.ts";
import { hasManifest, intendedCopy, recordUpload } from "../copies/steps.ts";
import { copyObject, putManifest, storedAt } from "../copies/stored-object.ts";

/** A good copy to read: in another storage, or an older version in the same one. */
type Source = Pick<Storage, "name" | "get">;

/**
 * Puts the good object and its manifest, as new versions, above objects that are locked and so cannot be removed: nothing
 * is removed. No intent is recorded before, because the objects beneath could be mistaken for an interrupted copy;
 * until the new copy is complete, its record stays as it is. Throws what the storages throw; then nothing new is visible.
 */
export async function putOnTop(
  context: JobContext,
  backup: StoredBackup,
  { from, to }: { from: Source; to: Storage },
  options: { partBytes: number; signal: AbortSignal; onProgress: (bytes: number) => void },
): Promise<void> {
  const { catalog, clock } = context;
  const { object_key, object_bytes, manifest } = backup;
  const { signal } = options;
  const lock = await lockFor({ ...context, signal }, to, backup);
  const put = { signal, clock, stallTimeoutMs: to.settings.stall_timeout_ms, lock, onTop: true };
  let sourceError: Pg321Error | undefined;
  const onSourceError = (error: Pg321Error) => {
    sourceError = error;
  };
  const onUpload = (id: string) => recordUpload(context, backup, to, id);
  try {
    await copyObject(from, to, backup, { ...options, ...put, onUpload, onSourceError });
  } catch (error) {
    const other = context.storages.find((storage) => storage === from);
    if (sourceError && other) await recordDamage(context, backup, other, sourceError);
    throw error;
  }
  if (!(await hasManifest(to, backup, signal))) await putManifest(to, object_key, manifest, put);
  const confirmed_at = storedAt(await to.head(object_key, signal), backup, clock.now());
  await catalog.putCopy({ ...intendedCopy(backup, to), state: "CONFIRMED", object_bytes, confirmed_at });
  await lockStoredCopy({ ...context, signal }, backup, to, "repair");
}

/**
 * The versions of a backup's object that are hidden in the storage itself, newest first, and could be the good one: a
 * locked version stays under whatever was put above it.
 */
export async function olderSources(
  { log, signal: ofRun }: Pick<JobContext, "log" | "signal">,
  { object_key, object_bytes }: StoredBackup,
  to: Storage,
  signal: AbortSignal,
): Promise<Source[]> {
  let found: OlderVersion[] = [];
  try {
    found = (await to.older?.(object_key, signal)) ?? [];
  } catch (error) {
    ofRun.throwIfAborted();
    if (!(error instanceof Pg321Error)) throw error;
    log.warning("older versions of an object could not be listed", {
      storage: to.name,
      error: messageOf(error),
    });
  }
  return found
    .filter(({ sizeBytes }) => sizeBytes === object_bytes)
    .map(({ read }) => ({ name: to.name, get: (_key, _range, signal) => read(signal) }));
}
