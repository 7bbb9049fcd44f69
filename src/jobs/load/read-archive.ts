import { backupName } from "../../catalog/globals.ts";
import type { BackupRecord } from "../../catalog/records.ts";
import type { Job } from "../../config/config.ts";
import type { OpenArchive } from "../../postgres/archive/archive.ts";
import { openArchive } from "../../postgres/archive/archive.ts";
import { withDataEntries } from "../../postgres/archive/streams.ts";
import type { ContainerMember } from "../../sealed/container/format.ts";
import type { Storage } from "../../storage/storage.ts";
import { observed } from "../../stream/meter.ts";
import type { JobContext } from "../context.ts";
import { shortId } from "../copies/object-key.ts";
import { openBackup } from "../copies/read-backup.ts";
import { ProgressMeter } from "../progress.ts";
import { openDump } from "./dump-form.ts";
import type { DataStreams } from "./load-streams.ts";

/** The archive of a backup, while its copies are read; of a backup of several streams, that of the schema. */
export interface ReadArchive extends Pick<OpenArchive, "contents" | "bytes"> {
  /** The archives of the rows, in a backup of several streams. */
  readonly data: DataStreams | undefined;
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
    const { container, archive: single } = await openDump(dump, readable.version);
    await using streams = container;
    const members = streams?.members[Symbol.asyncIterator]();
    // The schema comes first; there is no container without it.
    const schema = members && (await members.next()).value;
    await using archive = await openArchive(single ?? (schema as ContainerMember).bytes);
    const { bytes } = archive;
    const contents = streams ? withDataEntries(archive.contents) : archive.contents;
    const close = async () => await streams?.[Symbol.asyncDispose]();
    const data = streams && members && { members, close, membersAtOnce: streams.membersAtOnce };
    return await use({
      ...{ contents, bytes, data },
      get dumpBytes() {
        return dumpBytes;
      },
    });
  } finally {
    await dump.return();
    progress.end();
  }
}
