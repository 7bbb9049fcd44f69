import { createHash } from "node:crypto";
import { messageOf, Pg321Error } from "../../base/errors.ts";
import type { BackupRecord } from "../../catalog/records.ts";
import type { SealedVersion } from "../../sealed/file-key.ts";
import { readHeader } from "../../sealed/header.ts";
import type { BackupNames } from "../../sealed/metadata.ts";
import type { Opener } from "../../sealed/open.ts";
import { openPayload, segmentOffset, verifyHeader } from "../../sealed/open.ts";
import { TAG_BYTES } from "../../sealed/payload.ts";
import type { Storage } from "../../storage/storage.ts";
import type { JobContext } from "../context.ts";
import type { CopyFailures } from "./failures.ts";

export type ReadContext = Pick<JobContext, "keys" | "log" | "config">;

/** What the header of a backup's object contains, besides the compression. */
export function headerNames(backup: BackupRecord): Omit<BackupNames, "compression"> {
  return {
    installation: backup.installation,
    server: backup.server,
    database: backup.database,
    backup_id: backup.id,
    kind: backup.kind,
    started_at: backup.started_at,
  };
}

/**
 * The payload of a sealed backup, still compressed, from its good copies. Resolves once a header is verified: signature,
 * names, file key. The reasons why copies could not be used are added to `failures`.
 */
export async function openPayloadOf(
  context: ReadContext,
  backup: BackupRecord,
  storages: readonly Storage[],
  failures: CopyFailures,
  signal: AbortSignal,
): Promise<{ version: SealedVersion; payload: AsyncGenerator<Uint8Array, void, undefined> }> {
  const headers = goodHeaders(context, backup, storages, signal, failures);
  const first = await headers.next();
  if (first.done) throw failures.error();
  const payload = readPayload(context, backup, first.value, headers, storages, signal, failures);
  return { version: first.value.opener.version, payload };
}

interface GoodHeader {
  opener: Opener;
  /** The file up to its first segment. */
  head: Uint8Array;
  /** The storage of the copy that it comes from. */
  from: Storage;
}

/** The valid headers, copy by copy; the errors of invalid ones are added to `failures`. */
async function* goodHeaders(
  { keys, log }: ReadContext,
  backup: BackupRecord,
  storages: readonly Storage[],
  signal: AbortSignal,
  failures: CopyFailures,
): AsyncGenerator<GoodHeader, undefined, undefined> {
  const trust = { trustedSigners: await keys.trustedSigners(), expected: headerNames(backup) };
  const identities = (await keys.identity())?.identities;
  if (!identities) {
    throw new Pg321Error("key", "this host has no identity, so it cannot open backups", {
      hint: "set encryption.identity_file to the identity that pg321 key generate made",
    });
  }
  for (const storage of storages) {
    let good: GoodHeader;
    try {
      const stream = await readHeader(storage.get(backup.object_key, undefined, signal));
      await stream.rest.return();
      const opener = await verifyHeader(stream, trust, identities);
      good = { opener, head: Buffer.concat([stream.headerBytes, stream.header.nonce]), from: storage };
    } catch (error) {
      signal.throwIfAborted();
      failures.add(storage, error);
      log.warning("a copy cannot be opened", {
        storage: storage.name,
        backup_id: backup.id,
        error: messageOf(error),
      });
      continue;
    }
    yield good;
  }
}

/**
 * The payload, read with the first header that opens a segment. A header may not match the payload, and the nonce before
 * the payload is not signed: only a segment that opens proves both.
 */
async function* readPayload(
  context: ReadContext,
  backup: BackupRecord,
  first: GoodHeader,
  others: AsyncGenerator<GoodHeader, undefined, undefined>,
  storages: readonly Storage[],
  signal: AbortSignal,
  failures: CopyFailures,
): AsyncGenerator<Uint8Array, void, undefined> {
  const tried: Uint8Array[] = [];
  for (let header: GoodHeader | undefined = first; header; header = (await others.next()).value) {
    const { head } = header;
    if (tried.some((one) => Buffer.compare(one, head) === 0)) continue;
    tried.push(head);
    const read = yield* readSegments(context, backup, header, storages, signal, failures);
    if (read.isWhole) return;
    if (read.segments > 0) break;
  }
  throw failures.error();
}

/** Returns the number of segments read and whether the payload was complete. */
async function* readSegments(
  { log }: ReadContext,
  backup: BackupRecord,
  { opener, head, from }: GoodHeader,
  storages: readonly Storage[],
  signal: AbortSignal,
  failures: CopyFailures,
): AsyncGenerator<Uint8Array, { segments: number; isWhole: boolean }, undefined> {
  const hash = createHash("sha256").update(head);
  const failedAt = new Map<Storage, number>();
  const queue = [...storages];
  let segment = 0;
  // A failed copy is tried again once another copy has provided the segment: two copies may be damaged in different
  // places. A copy that was cut off is tried again too, even if it is the only one, as long as it provides at least
  // one segment each time. Reading ends when no copy provides the next segment.
  for (let storage = queue.shift(); storage && failedAt.get(storage) !== segment; storage = queue.shift()) {
    const firstSegment = segment;
    const read = new PendingBytes(
      storage.get(backup.object_key, { start: segmentOffset(opener, segment) }, signal),
    );
    try {
      for await (const plaintext of openPayload(opener, read, segment)) {
        for (const chunk of read.take(plaintext.length + TAG_BYTES)) hash.update(chunk);
        segment++;
        yield plaintext;
      }
      if (backup.object_sha256 !== null && hash.digest("hex") !== backup.object_sha256)
        throw hashMismatch(backup);
      return { segments: segment, isWhole: true };
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof HashMismatch) throw error.reason;
      if (segment > firstSegment && isCutOff(error)) failedAt.delete(storage);
      else failedAt.set(storage, segment);
      queue.push(storage);
      failures.add(storage, error, storage === from || segment > 0);
      log.warning("a copy failed while it was read; continuing at this segment", {
        storage: storage.name,
        backup_id: backup.id,
        segment,
        error: messageOf(error),
      });
    }
  }
  return { segments: segment, isWhole: false };
}

function isCutOff(error: unknown): boolean {
  return error instanceof Pg321Error && error.code === "storage" && error.retryable;
}

/** All segments were good, but the object is not the recorded one: no other copy can help. */
class HashMismatch extends Error {
  readonly reason: Pg321Error;

  constructor(reason: Pg321Error) {
    super(reason.message);
    this.reason = reason;
  }
}

function hashMismatch(backup: BackupRecord): HashMismatch {
  return new HashMismatch(
    new Pg321Error(
      "verification",
      `backup ${backup.id}: the SHA-256 of the data read differs from the recorded one`,
      {
        hint: "do not use the restored data; find another backup with: pg321 list",
      },
    ),
  );
}

/** Passes a stream on and keeps its bytes until they are taken, so that exactly the authenticated bytes are hashed. */
class PendingBytes implements AsyncIterable<Uint8Array> {
  readonly #source: AsyncIterable<Uint8Array>;
  #pending: Uint8Array[] = [];

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of this.#source) {
      this.#pending.push(chunk);
      yield chunk;
    }
  }

  /** Takes the next `count` bytes that were passed on. */
  take(count: number): Uint8Array[] {
    const taken: Uint8Array[] = [];
    let left = count;
    while (left > 0) {
      const chunk = this.#pending.shift();
      if (!chunk) throw new Error("took more bytes than passed");
      taken.push(chunk.subarray(0, left));
      if (chunk.length > left) this.#pending.unshift(chunk.subarray(left));
      left -= Math.min(left, chunk.length);
    }
    return taken;
  }
}
