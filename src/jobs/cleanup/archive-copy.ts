import { Pg321Error } from "../../base/errors.ts";
import { backupName } from "../../catalog/globals.ts";
import type { BackupRecord } from "../../catalog/records.ts";
import type { Storage } from "../../storage/storage.ts";
import type { JobContext } from "../context.ts";
import { shortId } from "../copies/object-key.ts";
import { maxPartsOf, partBytesFor } from "../copies/part-size.ts";
import { clearTheKey, fillCopy } from "../copies/steps.ts";
import { ProgressMeter } from "../progress.ts";

/**
 * Makes sure that an archive has a copy of a backup: it keeps the copy it has, or gets one from `from`, byte for byte.
 * Resolves once the copy in the archive is confirmed; if it throws, `from` must keep its own copy.
 */
export async function archiveCopy(
  context: JobContext,
  backup: BackupRecord,
  { from, to }: { from: Storage; to: Storage },
  signal: AbortSignal,
): Promise<void> {
  const { catalog, config } = context;
  const { manifest, object_key, object_bytes } = backup;
  if (manifest === null)
    throw new Pg321Error("storage", `${object_key} cannot be archived: its backup has no manifest`);
  const recorded = (await catalog.copies(backup.id)).find((copy) => copy.storage === to.name);
  const found = await to.head(object_key, signal);
  if (recorded?.state === "CONFIRMED" && found?.sizeBytes === object_bytes) return;
  await clearTheKey(context, { ...backup, manifest }, { from, to }, signal);
  const partBytes = partBytesFor(object_bytes ?? 0, maxPartsOf(config.storage));
  const title = `archive ${shortId(backup.id)} ${backupName(backup)} in ${to.name}`;
  const progress = new ProgressMeter(context.progress, title, object_bytes ?? undefined);
  const onProgress = (bytes: number) => progress.pass(bytes);
  const options = { partBytes, signal, onProgress };
  const isFilled = await fillCopy(context, { ...backup, manifest }, { from, to }, options).finally(() =>
    progress.end(),
  );
  if (isFilled) return;
  const copy = (await catalog.copies(backup.id)).find(({ storage }) => storage === to.name);
  throw new Pg321Error("storage", copy?.error ?? `storage "${to.name}": ${object_key} was not archived`);
}
