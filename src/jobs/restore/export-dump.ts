import { backupName } from "../../catalog/globals.ts";
import type { BackupRecord } from "../../catalog/records.ts";
import { CONTAINER_MAGIC } from "../../sealed/container/format.ts";
import { isContainer } from "../../sealed/container/split.ts";
import type { SealedVersion } from "../../sealed/file-key.ts";
import type { Storage } from "../../storage/storage.ts";
import { observed } from "../../stream/meter.ts";
import type { JobContext } from "../context.ts";
import { shortId } from "../copies/object-key.ts";
import { openBackup } from "../copies/read-backup.ts";
import { provenUnreadable } from "../load/unreadable.ts";
import { ProgressMeter } from "../progress.ts";
import type { WrittenDump } from "./export-members.ts";
import { writeNewDump } from "./export-members.ts";
import type { ByteSink } from "./new-file.ts";
import { requireAbsent, writeAll } from "./new-file.ts";

/**
 * Writes the plain dump of a backup to a sink, or as `writeNewDump` does, only if all of it was good. A sink gets a dump
 * of several streams as a container.
 */
export async function exportDump(
  context: JobContext,
  backup: BackupRecord,
  storages: readonly Storage[],
  to: string | ByteSink,
): Promise<WrittenDump & { isContainer: boolean }> {
  if (typeof to === "string") await requireAbsent(to);
  await using readable = await openBackup(context, backup, storages, context.signal);
  const title = `read ${shortId(backup.id)} ${backupName(backup)}`;
  const progress = new ProgressMeter(context.progress, title, backup.dump_bytes ?? undefined);
  const dump = observed(readable.dump, (bytes) => progress.pass(bytes));
  try {
    if (typeof to !== "string") return await writeContainer(to, dump, readable.version);
    const written = await writeNewDump(to, dump, readable.version);
    return { ...written, isContainer: written.files.length > 0 };
  } catch (error) {
    throw (await provenUnreadable(context, backup, { storages, job: "restore" }, error)) ?? error;
  } finally {
    progress.end();
  }
}

/** Writes a dump as it is. */
async function writeContainer(
  to: ByteSink,
  dump: AsyncIterable<Uint8Array>,
  version: SealedVersion | undefined,
): Promise<WrittenDump & { isContainer: boolean }> {
  let first: Uint8Array | undefined;
  const bytes = await writeAll(
    to,
    observed(dump, (_, chunk) => {
      first ??= chunk.slice(0, CONTAINER_MAGIC.length);
    }),
  );
  return { bytes, files: [], isContainer: version === 2 || (first !== undefined && isContainer(first)) };
}
