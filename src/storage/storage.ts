import type { LockMode, StorageConfig } from "../config/config.ts";
import type { Part } from "../stream/part.ts";
import type { PlaceNames } from "./place.ts";

/** What a storage reports about an object that it holds. */
export interface StoredObject {
  /** Relative to the storage's prefix, `/` between components, as given to `put`. */
  key: string;
  sizeBytes: number;
  modifiedAt: Date;
  /** From `head` only: until when the storage refuses to delete it (Object Lock); unset if it is not locked. */
  lockedUntil?: Date;
}

/**
 * The result of a removal. `removed`: no version of the object is left, or there was none. `hidden`: it can no
 * longer be read, but versions remain, and remain billed, because the access key may not delete them. `locked`: the
 * storage keeps it unchanged until that time.
 */
export type Removal = { outcome: "removed" | "hidden" } | { outcome: "locked"; lockedUntil: Date };

/** An Object Lock: until then nobody with ordinary rights can delete that version of an object. */
export interface ObjectLock {
  mode: LockMode;
  until: Date;
}

/** What a storage confirms about the lock of an object. */
export interface LockAnswer {
  /** Undefined if it is not locked, or if that is not known. */
  lock: ObjectLock | undefined;
  /** Why it is not locked, or not for as long as wanted; undefined if it is. */
  problem: string | undefined;
  /** Whether that holds for every object in this storage. */
  isEverywhere: boolean;
}

/** A version of an object that a newer version or a delete marker hides. */
export interface OlderVersion {
  sizeBytes: number;
  /** Its bytes; as `Storage.get`. */
  read(signal: AbortSignal): AsyncIterable<Uint8Array>;
}

export interface ListOptions {
  /** Only keys that sort after this one. */
  after?: string | undefined;
  /** How many objects a server sends at a time, for callers that need only the first ones. */
  pageSize?: number;
}

/** Returns those of up to 1,000 keys that this installation has records of, except what a run still works on. */
export type OwnKeys = (keys: readonly string[]) => Promise<ReadonlySet<string>>;

export interface PutOptions {
  signal: AbortSignal;
  /** The size of every part except the last, in bytes. The driver may rely on it. */
  partBytes: number;
  /**
   * Locks the object from its first moment, if the storage can. Only `lock` shows whether it did: servers drop or refuse
   * the request, and the object is stored all the same.
   */
  lock?: ObjectLock | undefined;
  /**
   * Puts it above an object that is already under the key, as a new version, instead of throwing `KeyTaken`. Only in a
   * bucket that keeps versions, as every bucket with Object Lock does: elsewhere it would replace the object.
   */
  onTop?: boolean;
  /**
   * Called once, before the first byte is sent, with the id of the multipart upload, by which an interrupted put
   * can be undone after a crash. The caller records it. Not called by a put that needs no such id.
   */
  onUpload?: (uploadId: string) => void | Promise<void>;
  /**
   * Called with the number of further bytes each time the storage has accepted some (not yet confirmed): for
   * progress and rates.
   */
  onProgress?: (bytes: number) => void;
  /**
   * Called when the storage begins (true) and ends (false) to wait for its own `rate_limit`. This time is no stall, and
   * does not make the storage slow.
   */
  onPause?: (isPaused: boolean) => void;
}

/**
 * A place for copies. Every driver is one file, is listed in `registry.ts`, and passes
 * `test/suites/storage-conformance.ts`.
 *  Errors are `Pg321Error` with code `storage`, whose message starts with `storage "NAME": `, converted at the
 * driver's edge; `retryable` is true for timeouts, throttling and 5xx, and false for refusals. If the signal is
 * aborted, a call rejects with the signal's reason. Keys are relative, non-empty, without `.` or `..` components, a
 * leading `/` or NUL: any other key is refused before a byte is sent.
 */
export interface Storage extends AsyncDisposable {
  readonly name: string;
  /** The storage's table in the config. */
  readonly settings: StorageConfig;

  /** Settings for logs and `check`, without secrets. */
  describe(): Record<string, string>;

  /** The names of the place, as far as this host can know them without asking a server; see `PlaceNames`. */
  place(signal: AbortSignal): Promise<PlaceNames>;

  /**
   * The objects with this key in the places around this one: the directories above, the shorter prefixes. At most
   * some kilobytes of each; skips those that cannot be read.
   */
  around(key: string, signal: AbortSignal): Promise<Uint8Array[]>;

  /**
   * Stores an object under a key that must not exist yet: throws `KeyTaken` if it does, and leaves that object
   * alone. When the promise resolves, this operation has created the object, and the storage has confirmed it
   * durably and with the size sent. When it rejects (also because `body` throws or the signal aborts), nothing is
   * visible under the key, and everything sent has been removed with a fresh signal, as far as the storage answers.
   * Pulls `body` only as fast as it stores; releases each part that it pulled exactly once in any case. An empty
   * body makes an empty object.
   */
  put(key: string, body: AsyncIterable<Part>, options: PutOptions): Promise<StoredObject>;

  /**
   * The bytes of an object from `range.start` on, `range.length` of them if given. Rejects with code `storage` if
   * the object is missing, is cut off, or gives no byte for the storage's `stall_timeout` while the reader waits
   * for one. The reader may keep the chunks.
   */
  get(
    key: string,
    range: { start: number; length?: number } | undefined,
    signal: AbortSignal,
  ): AsyncIterable<Uint8Array>;

  /**
   * The hidden versions of an object, newest first; drivers without versions lack it. None if the server or the access
   * key shows none.
   */
  older?(key: string, signal: AbortSignal): Promise<OlderVersion[]>;

  /** Undefined if there is no such object; never for another reason. */
  head(key: string, signal: AbortSignal): Promise<StoredObject | undefined>;

  /**
   * Objects whose key starts with `prefix`, in key order (`compareKeys`); fetches pages as they are read, and keeps only
   * some of them in memory. Never yields temporary files. Ends only at the end of the list: if a page cannot be read it
   * throws. Some S3 servers list in another order; whoever goes on after a key must check the order until there.
   */
  list(prefix: string, signal: AbortSignal, options?: ListOptions): AsyncIterable<StoredObject>;

  /** Removes an object with all its versions. Idempotent: a missing object counts as removed. */
  remove(key: string, signal: AbortSignal): Promise<Removal>;

  /**
   * Locks an object until `wanted.until`, unless it is locked for longer: never shortens a lock, and never
   * weakens its mode. Then reads the lock back: only what the storage confirms is in the answer. Without `wanted` it only
   * reads. Throws only if the storage does not answer.
   */
  lock(key: string, wanted: ObjectLock | undefined, signal: AbortSignal): Promise<LockAnswer>;

  /**
   * Removes the remains of an interrupted `put` of exactly this key: temporary file, multipart upload. Idempotent.
   */
  discard(key: string, uploadId: string | undefined, signal: AbortSignal): Promise<void>;

  /**
   * Removes temporary files and multipart uploads under the prefix that were begun before `olderThan`. Returns
   * their number. Removes an upload only if its key is one of `ours`, because other programs may have uploads under a
   * shared prefix.
   */
  sweep(olderThan: Date, signal: AbortSignal, ours: OwnKeys): Promise<number>;

  /** Bytes that can still be stored, if the storage can tell. */
  freeBytes(): Promise<number | undefined>;

  /**
   * How the place keeps its objects (versions, locks), in words for people; drivers with nothing to report lack it.
   */
  traits?(signal: AbortSignal): Promise<string[]>;

  /**
   * By how many ms this host's clock was ahead of the server's at the last reply; undefined if no reply showed it,
   * or if that reply came before `sinceMs` of the monotonic clock, because a clock may have jumped since.
   */
  clockSkewMs(sinceMs?: number): number | undefined;
}
