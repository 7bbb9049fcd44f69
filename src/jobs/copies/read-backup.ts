import { messageOf, Pg321Error } from "../../base/errors.ts";
import type { BackupRecord } from "../../catalog/records.ts";
import type { Storage } from "../../storage/storage.ts";
import { collected } from "../../stream/collected.ts";
import type { CompressionAlgorithm } from "../../stream/compression.ts";
import { decompress } from "../../stream/compression.ts";
import type { DamageContext } from "./damage.ts";
import { recordDamage } from "./damage.ts";
import { CopyFailures } from "./failures.ts";
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
  context: ReadContext & DamageContext,
  backup: BackupRecord,
  storages: readonly Storage[],
  signal: AbortSignal,
): Promise<ReadableBackup> {
  const algorithm = backup.compression as CompressionAlgorithm;
  const failures = new CopyFailures(backup);
  await using opened = new AsyncDisposableStack();
  let isOpened = false;
  opened.defer(() => recordFailures(context, backup, failures, isOpened));
  let payload: AsyncIterable<Uint8Array>;
  if (backup.encryption === "none")
    payload = opened.use(await spoolObject(context, backup, storages, failures, signal)).read();
  else payload = await openPayloadOf(context, backup, storages, failures, signal);
  isOpened = true;
  const all = opened.move();
  return { dump: decompressed(payload, algorithm), [Symbol.asyncDispose]: () => all.disposeAsync() };
}

/**
 * The copies that the reader had to pass over are damaged or missing from now on, if that is why. Where another copy
 * opened, the keys are right, and a copy that they do not open is damaged.
 */
async function recordFailures(
  context: DamageContext,
  backup: BackupRecord,
  failures: CopyFailures,
  isOpened: boolean,
): Promise<void> {
  if (context.signal.aborted) return;
  for (const [storage, error] of failures.own) {
    const isDamage = isOpened && error instanceof Pg321Error && error.code === "key";
    const reason = isDamage ? new Pg321Error("verification", error.message) : error;
    await recordDamage(context, backup, storage, reason, "restore");
  }
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
      hint: "restore another backup, and report this as a bug: the bytes are exactly as they were written",
      cause: error,
    });
  }
}
