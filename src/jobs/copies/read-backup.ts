import { messageOf, Pg321Error, UnreadableDump } from "../../base/errors.ts";
import type { BackupRecord } from "../../catalog/records.ts";
import type { Job } from "../../config/config.ts";
import type { SealedVersion } from "../../sealed/file-key.ts";
import type { Storage } from "../../storage/storage.ts";
import type { CompressionAlgorithm } from "../../stream/compression.ts";
import { decompress } from "../../stream/compression.ts";
import { collectingGarbage } from "../../stream/garbage-collection.ts";
import type { DamageContext } from "./damage.ts";
import { recordDamage } from "./damage.ts";
import { CopyFailures } from "./failures.ts";
import type { ReadContext } from "./sealed-copies.ts";
import { openPayloadOf } from "./sealed-copies.ts";
import { spoolObject } from "./spool.ts";

/** A backup that is ready to be read, complete and authenticated, from its good copies. */
export interface ReadableBackup extends AsyncDisposable {
  /** The version of the sealed file; undefined if the backup is not encrypted. */
  version: SealedVersion | undefined;
  /**
   * The dump as pg_dump wrote it, or the container of several. Throws code `verification` or `storage` if no copy can provide the rest. Can be read
   * only once.
   */
  dump: AsyncIterable<Uint8Array>;
}

/**
 * Opens a backup from its copies, in the order of `storages`. If it is sealed, signature and names are verified before
 * this resolves, each segment before its bytes are passed on, and the hash of the whole object at the end; if a copy is
 * missing, damaged or cut off, reading continues at the same segment of the next copy. If it is not encrypted, it is
 * first written to a temporary file and hashed: nothing else would detect a damaged byte in time.
 */
export async function openBackup(
  context: ReadContext & DamageContext,
  backup: BackupRecord,
  storages: readonly Storage[],
  signal: AbortSignal,
  job: Job = "restore",
): Promise<ReadableBackup> {
  const algorithm = backup.compression as CompressionAlgorithm;
  const failures = new CopyFailures(backup);
  await using opened = new AsyncDisposableStack();
  let isOpened = false;
  opened.defer(() => recordFailures(context, backup, failures, { isOpened, job }));
  let version: SealedVersion | undefined;
  let payload: AsyncIterable<Uint8Array>;
  if (backup.encryption === "none")
    payload = opened.use(await spoolObject(context, backup, storages, failures, signal)).read();
  else ({ version, payload } = await openPayloadOf(context, backup, storages, failures, signal));
  isOpened = true;
  const all = opened.move();
  const dump = decompressed(payload, algorithm);
  return { version, dump, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

/**
 * Records the copies that the reader had to skip as damaged or missing, if that was the reason. If another copy opened,
 * the keys are right, so a copy that they do not open is damaged.
 */
async function recordFailures(
  context: DamageContext,
  backup: BackupRecord,
  failures: CopyFailures,
  { isOpened, job }: { isOpened: boolean; job: Job },
): Promise<void> {
  if (context.signal.aborted) return;
  for (const [storage, error] of failures.own) {
    const isDamage = isOpened && error instanceof Pg321Error && error.code === "key";
    const reason = isDamage ? new Pg321Error("verification", error.message) : error;
    await recordDamage(context, backup, storage, reason, job);
  }
}

/** The dump's bytes. Errors of the decompressor become code `verification`. */
export async function* decompressed(
  source: AsyncIterable<Uint8Array>,
  algorithm: CompressionAlgorithm,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* collectingGarbage(decompress(source, algorithm));
  } catch (error) {
    if (error instanceof Pg321Error || !/zstd|zlib|unexpected end|incorrect|invalid/i.test(messageOf(error)))
      throw error;
    throw new UnreadableDump(`the backup cannot be decompressed: ${messageOf(error)}`, error);
  }
}
