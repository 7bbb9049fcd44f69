import { createHash } from "node:crypto";
import { constants, type Stats } from "node:fs";
import { type FileHandle, link, lstat, mkdir, open, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Pg321Error } from "../../base/errors.ts";
import { codeOf, ignoring } from "../../base/files/missing.ts";
import { MIB } from "../../base/limits.ts";
import { twoSizes } from "../../base/text/amounts.ts";
import type { Part } from "../../stream/part.ts";
import { KeyTaken, RESERVED_NAME } from "../key.ts";
import { pullParts } from "../pull.ts";
import { removeFile, syncDirectories } from "./files.ts";

/**
 * This much may be dirty in the page cache before it is flushed in the background. Without it the fsync at the end
 * took 0.6 s for 2 GiB on a fast disk, and takes minutes on a slow one, without visible progress.
 */
const FLUSH_BYTES = 64 * MIB;
/** How often a put creates its directory again if a `remove` has pruned it. */
const DIRECTORY_ATTEMPTS = 5;

/** A put into a directory, as input of `writeObject`. */
export interface ObjectWrite {
  /** Beginning of its error messages: storage, operation and key. */
  what: string;
  root: string;
  key: string;
  body: AsyncIterable<Part>;
  signal: AbortSignal;
  /** Throws if writing this many more bytes would not leave enough free. */
  requireSpace: (bytes: number) => Promise<void>;
  onProgress: ((bytes: number) => void) | undefined;
}

/** The temporary file of an object: the same for every attempt, so that it can be found after a crash. */
export function temporaryPath(root: string, key: string): string {
  const hash = createHash("sha256").update(key).digest("hex");
  return join(root, dirname(key), `${RESERVED_NAME}${hash.slice(0, 16)}.tmp`);
}

export function isTemporary(key: string): boolean {
  return /(^|\/)\.pg321-[0-9a-f]{16}\.tmp$/.test(key);
}

/**
 * Temporary file, fsync, `link` to the final name (which never replaces a file), fsync of the directories.
 * Afterwards the temporary file is gone in any case; the final one exists only on success.
 */
export async function writeObject(write: ObjectWrite): Promise<Stats> {
  const path = join(write.root, write.key);
  const temporary = temporaryPath(write.root, write.key);
  if (await lstat(path).catch(ignoring("ENOENT", "ENOTDIR"))) throw new KeyTaken(write.what);
  const file = await createTemporary(write, temporary);
  try {
    const sizeBytes = await writeParts(file, write).finally(() => file.close());
    write.signal.throwIfAborted();
    await link(temporary, path).catch((error) => {
      throw codeOf(error) === "EEXIST" ? new KeyTaken(write.what, error) : error;
    });
    return await confirm(write, path, temporary, sizeBytes);
  } catch (error) {
    await removeFile(write.root, temporary);
    throw error;
  }
}

async function confirm(
  write: ObjectWrite,
  path: string,
  temporary: string,
  sizeBytes: number,
): Promise<Stats> {
  try {
    await unlink(temporary);
    await syncDirectories(write.root, dirname(path));
    const stats = await lstat(path);
    if (stats.size === sizeBytes) return stats;
    const [written, held] = twoSizes(sizeBytes, stats.size);
    throw new Pg321Error("storage", `${write.what}: ${written} written, but the file holds ${held}`);
  } catch (error) {
    await unlink(path).catch(ignoring("ENOENT"));
    throw error;
  }
}

async function writeParts(file: FileHandle, write: ObjectWrite): Promise<number> {
  let sizeBytes = 0;
  let unflushedBytes = 0;
  let flush = Promise.resolve();
  try {
    for await (const part of pullParts(write.body, write.signal)) {
      try {
        await write.requireSpace(part.bytes.length);
        await writeAll(file, part.bytes, sizeBytes);
      } finally {
        part.release();
      }
      sizeBytes += part.bytes.length;
      unflushedBytes += part.bytes.length;
      write.onProgress?.(part.bytes.length);
      if (unflushedBytes < FLUSH_BYTES) continue;
      await flush;
      flush = file.datasync();
      // An error shows when the flush is awaited, next time; until then it must not count as unhandled.
      flush.catch(() => {});
      unflushedBytes = 0;
    }
    await flush;
    await file.sync();
    return sizeBytes;
  } finally {
    // The file must not be closed while a flush is under way.
    await flush.catch(() => {});
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let written = 0; written < bytes.length; ) {
    const left = bytes.length - written;
    written += (await file.write(bytes, written, left, position + written)).bytesWritten;
  }
}

async function createTemporary(write: ObjectWrite, temporary: string): Promise<FileHandle> {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  for (let attempt = 1; ; attempt++) {
    await mkdir(dirname(temporary), { recursive: true, mode: 0o700 });
    try {
      return await open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    } catch (error) {
      if (codeOf(error) === "EEXIST") {
        throw new KeyTaken(write.what, error, {
          what: `its temporary file exists: ${temporary}`,
          hint: "another run is writing it, or a crashed run left it; in that case the next run removes it",
        });
      }
      if (codeOf(error) !== "ENOENT" || attempt >= DIRECTORY_ATTEMPTS) throw error;
    }
  }
}
