import { messageOf, Pg321Error } from "../base/errors.ts";
import type { BackupRecord } from "../catalog/catalog.ts";
import type { Storage } from "../storage/storage.ts";
import { collected } from "../stream/collected.ts";
import type { CompressionAlgorithm } from "../stream/compression.ts";
import { decompress } from "../stream/compression.ts";
import type { ReadContext } from "./sealed-copies.ts";
import { openPayloadOf } from "./sealed-copies.ts";
import { spoolObject } from "./spool.ts";

/** A backup that is ready to be read, whole and authenticated, from whichever copies are good. */
export interface ReadableBackup extends AsyncDisposable {
  /** The dump as pg_dump wrote it. Throws code `verification` or `storage` when no copy can give the rest. May be read once. */
  dump: AsyncIterable<Uint8Array>;
}

/**
 * Opens a backup from its copies, the first storage first. Sealed ones: signature and names are verified
 * before it resolves, every segment before its bytes are handed on, the whole hash at the end; when a copy
 * is missing, damaged or cut off, the same range comes from the next, without a second start. Unencrypted
 * ones are spooled and hashed first: nothing else could tell a damaged byte in time.
 */
export async function openBackup(
  context: ReadContext,
  backup: BackupRecord,
  storages: readonly Storage[],
  signal: AbortSignal,
): Promise<ReadableBackup> {
  const algorithm = backup.compression as CompressionAlgorithm;
  if (backup.encryption === "none") {
    const spooled = await spoolObject(context, backup, storages, signal);
    return {
      dump: decompressed(spooled.read(), algorithm),
      [Symbol.asyncDispose]: () => spooled[Symbol.asyncDispose](),
    };
  }
  const payload = await openPayloadOf(context, backup, storages, signal);
  return { dump: decompressed(payload, algorithm), [Symbol.asyncDispose]: async () => {} };
}

/** The dump's bytes; what the decompressor throws becomes code `verification`. */
export async function* decompressed(
  source: AsyncIterable<Uint8Array>,
  algorithm: CompressionAlgorithm,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* collected(decompress(source, algorithm));
  } catch (error) {
    if (error instanceof Pg321Error || !/zstd|zlib|unexpected end|incorrect|invalid/i.test(messageOf(error)))
      throw error;
    throw new Pg321Error("verification", `the backup cannot be decompressed: ${messageOf(error)}`, {
      hint: "restore another backup, and report this one: its bytes are as they were written",
      cause: error,
    });
  }
}
