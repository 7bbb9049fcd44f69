import { createReadStream } from "node:fs";
import { open, statfs } from "node:fs/promises";
import { join } from "node:path";
import { messageOf, Pg321Error } from "../../base/errors.ts";
import { requireAnswer } from "../../base/files/place.ts";
import { makePrivateDirectory } from "../../base/files/private-files.ts";
import { writeWhole } from "../../base/files/write-whole.ts";
import { twoSizes } from "../../base/text/amounts.ts";
import type { BackupRecord } from "../../catalog/records.ts";
import type { Storage } from "../../storage/storage.ts";
import type { JobContext } from "../context.ts";
import type { CopyFailures } from "./failures.ts";
import { checkedObject } from "./stored-object.ts";

/** A private temporary file; disposing removes it. */
export interface Spool extends AsyncDisposable {
  path: string;
  read(): AsyncIterable<Uint8Array>;
}

/**
 * Writes a stream to a private temporary file: directory 0700, file 0600. Fails at once if less than `expectedBytes` is
 * free. Any error removes the file; an error of the source is thrown unchanged, one of the disk as a `SpoolError`.
 */
export async function spool(
  source: AsyncIterable<Uint8Array>,
  { tempDir, expectedBytes }: { tempDir: string; expectedBytes: number },
): Promise<Spool> {
  await requireAnswer(`temp_dir ${tempDir}`, tempDir);
  await requireFree(tempDir, expectedBytes);
  const directory = await makePrivateDirectory(tempDir, "spool").catch((cause) => {
    throw new SpoolError(tempDir, messageOf(cause), cause);
  });
  try {
    const path = join(directory.path, "spool");
    const file = await open(path, "wx", 0o600);
    try {
      for await (const chunk of source) {
        await writeWhole(file, chunk).catch((cause) => {
          throw new SpoolError(tempDir, messageOf(cause), cause);
        });
      }
    } finally {
      await file.close();
    }
    return {
      path,
      read: () => createReadStream(path, { highWaterMark: 1024 * 1024 }),
      [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
    };
  } catch (error) {
    await directory[Symbol.asyncDispose]();
    throw error;
  }
}

/** The temporary directory cannot hold the file; no copy is to blame. */
class SpoolError extends Pg321Error {
  constructor(directory: string, why: string, cause?: unknown) {
    super("storage", `temp_dir ${directory}: ${why}`, {
      hint: "free some space, or set temp_dir to a larger file system",
      cause,
    });
  }
}

/** An unencrypted object from the first good copy, hashed before it is read. */
export async function spoolObject(
  { config, log }: Pick<JobContext, "config" | "log">,
  backup: BackupRecord,
  storages: readonly Storage[],
  failures: CopyFailures,
  signal: AbortSignal,
): Promise<Spool> {
  for (const storage of storages) {
    try {
      const source = checkedObject(storage, backup, signal);
      return await spool(source, { tempDir: config.temp_dir, expectedBytes: backup.object_bytes ?? 0 });
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof SpoolError) throw error;
      failures.add(storage, error);
      log.warning("a copy cannot be read", {
        storage: storage.name,
        backup_id: backup.id,
        error: messageOf(error),
      });
    }
  }
  throw failures.error();
}

async function requireFree(directory: string, neededBytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(directory);
  const freeBytes = bavail * bsize;
  if (freeBytes >= neededBytes) return;
  const [needed, free] = twoSizes(neededBytes, freeBytes);
  throw new SpoolError(directory, `${needed} needed, ${free} free`);
}
