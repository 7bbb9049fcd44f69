import { backupName } from "../../catalog/globals.ts";
import type { BackupRecord } from "../../catalog/records.ts";
import type { Job } from "../../config/config.ts";
import type { OpenArchive } from "../../postgres/archive/archive.ts";
import { openArchive } from "../../postgres/archive/archive.ts";
import type { Storage } from "../../storage/storage.ts";
import { observed } from "../../stream/meter.ts";
import type { JobContext } from "../context.ts";
import { shortId } from "../copies/object-key.ts";
import { openBackup } from "../copies/read-backup.ts";
import { ProgressMeter } from "../progress.ts";

/** The archive of a backup, while its copies are read. */
export interface ReadArchive extends Pick<OpenArchive, "contents" | "bytes"> {
  /** Bytes of the dump read so far. */
  readonly dumpBytes: number;
}

/**
 * Opens the archive of a backup from its copies, in the order of `storages`, and calls `use` with it; the copies stay
 * open until that settles. Verified and continued as `openBackup` says.
 */
export async function readArchive<T>(
  context: JobContext,
  backup: BackupRecord,
  { storages, job }: { storages: readonly Storage[]; job: Job },
  use: (archive: ReadArchive) => Promise<T>,
): Promise<T> {
  await using readable = await openBackup(context, backup, storages, context.signal, job);
  const title = `${job} ${shortId(backup.id)} ${backupName(backup)}`;
  const progress = new ProgressMeter(context.progress, title, backup.dump_bytes ?? undefined);
  let dumpBytes = 0;
  const dump = observed(readable.dump, (bytes) => {
    dumpBytes += bytes;
    progress.pass(bytes);
  });
  try {
    await using archive = await openArchive(dump);
    const { contents, bytes } = archive;
    return await use({
      contents,
      bytes,
      get dumpBytes() {
        return dumpBytes;
      },
    });
  } finally {
    await dump.return();
    progress.end();
  }
}
