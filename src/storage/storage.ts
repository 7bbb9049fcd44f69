import type { StorageConfig } from "../config/config.ts";
import type { Part } from "../stream/part.ts";
import type { PlaceNames } from "./place.ts";

/** What a storage says of an object that it holds. */
export interface StoredObject {
  /** Relative to the storage's prefix, `/` between components, as handed to `put`. */
  key: string;
  sizeBytes: number;
  modifiedAt: Date;
  /** From `head` only: until when the storage refuses to delete it (Object Lock); unset where it is not locked. */
  lockedUntil?: Date;
}

/**
 * What became of an object that was to go. `removed`: no version of it is left, or there was none. `hidden`:
 * it cannot be read any more, but versions stay, and stay billed, because the key may not delete them.
 * `locked`: the storage keeps it as it is until then.
 */
export type Removal = { outcome: "removed" | "hidden" } | { outcome: "locked"; lockedUntil: Date };

export interface PutOptions {
  signal: AbortSignal;
  /** The size of every part but the last, in bytes. The driver may rely on it. */
  partBytes: number;
  /**
   * Told once, before the first byte is sent, how an interrupted put can be undone after a crash:
   * the id of a multipart upload. The caller records it. Not called where there is nothing to tell.
   */
  onUpload?: (uploadId: string) => void | Promise<void>;
  /** Told whenever the storage has taken more bytes (not yet confirmed): for progress and rates. */
  onProgress?: (bytes: number) => void;
}

/**
 * A place for copies. Every driver is one file, is listed in `registry.ts`, and passes
 * `test/suites/storage-conformance.ts`.
 *
 * Errors are `Pg321Error` with code `storage`, whose message starts with `storage "NAME": `, mapped at
 * the driver's edge; `retryable` tells timeouts, throttling and 5xx from refusals. An aborted signal
 * rejects with the signal's reason.
 * Keys are relative, non-empty, without `.` or `..` components, a leading `/` or NUL: anything else is
 * refused before a byte moves.
 */
export interface Storage extends AsyncDisposable {
  readonly name: string;
  /** Its table of the config, as it was opened with. */
  readonly settings: StorageConfig;

  /** Settings for logs and `check`, secrets left out. */
  describe(): Record<string, string>;

  /** The names of the place, as far as this host can tell without asking a server; see `PlaceNames`. */
  place(signal: AbortSignal): Promise<PlaceNames>;

  /**
   * The objects of this key in the places around this one: the directories above, the shorter prefixes. At most
   * some kilobytes of each; those that cannot be read are left out.
   */
  around(key: string, signal: AbortSignal): Promise<Uint8Array[]>;

  /**
   * Stores an object under a key that must not exist yet: `KeyTaken` where one is there, which is not touched. When
   * it resolves, this operation has made the object, and the storage has confirmed it durably and with the size sent. When it rejects (also when `body` throws or the signal
   * aborts) nothing is visible under the key, and what was sent has been removed with a fresh signal as
   * far as the storage answers. Pulls `body` only as fast as it stores; releases each part it pulled
   * exactly once, whatever happens. An empty body makes an empty object.
   */
  put(key: string, body: AsyncIterable<Part>, options: PutOptions): Promise<StoredObject>;

  /**
   * The bytes of an object, from `range.start` (bytes) on, `range.length` of them where given. Rejects
   * with code `storage` when it is missing, is cut off, or gives no byte for the storage's `stall_timeout`
   * while one is asked for. Chunks are the reader's to keep.
   */
  get(
    key: string,
    range: { start: number; length?: number } | undefined,
    signal: AbortSignal,
  ): AsyncIterable<Uint8Array>;

  /** Undefined when there is no such object; never for any other reason. */
  head(key: string, signal: AbortSignal): Promise<StoredObject | undefined>;

  /** Objects whose key starts with `prefix`, in key order, pages fetched as they are read. Never temporary files. */
  list(prefix: string, signal: AbortSignal): AsyncIterable<StoredObject>;

  /** Removes an object, every version of it. Idempotent: a missing one counts as removed. */
  remove(key: string, signal: AbortSignal): Promise<Removal>;

  /** Undoes what an interrupted `put` of exactly this key left: temporary file, multipart upload. Idempotent. */
  discard(key: string, uploadId: string | undefined, signal: AbortSignal): Promise<void>;

  /**
   * Removes temporary files and multipart uploads under the prefix that began before `olderThan`. Returns how many.
   * An upload goes only where `keys` has its key: under a shared prefix others have theirs. `keys` gives the keys of
   * all objects that this installation has records of, in batches; it is not asked where nothing old is found.
   */
  sweep(olderThan: Date, signal: AbortSignal, keys: () => AsyncIterable<readonly string[]>): Promise<number>;

  /** Bytes that can still be stored, where the storage can tell. */
  freeBytes(): Promise<number | undefined>;

  /** How the place keeps what it holds, in words for people; drivers that have nothing to tell lack it. */
  traits?(signal: AbortSignal): Promise<string[]>;

  /**
   * By how many ms this host's clock was ahead of the server's at its last reply; undefined where nothing tells, or
   * where that reply came before `sinceMs` of the monotonic clock: a clock may have jumped since.
   */
  clockSkewMs(sinceMs?: number): number | undefined;
}
