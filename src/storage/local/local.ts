import { constants } from "node:fs";
import { lstat, open, realpath, statfs } from "node:fs/promises";
import { dirname, join, normalize } from "node:path";
import { Pg321Error } from "../../base/errors.ts";
import { placeAt } from "../../base/files/place.ts";
import { MIB } from "../../base/limits.ts";
import { sizeText } from "../../base/text/amounts.ts";
import { shellQuoted } from "../../base/text/shell.ts";
import type { LocalStorageConfig } from "../../config/config.ts";
import type { Part } from "../../stream/part.ts";
import { checkKey } from "../key.ts";
import type { PlaceNames } from "../place.ts";
import { placeOfDirectory } from "../place.ts";
import type { ListOptions, LockAnswer, PutOptions, Removal, Storage, StoredObject } from "../storage.ts";
import { localError, removeFile } from "./files.ts";
import { isTemporary, temporaryPath, writeObject } from "./put.ts";
import { objectOf, statsOrMissing, walk } from "./walk.ts";

const READ_BYTES = MIB;
/** Bytes read of an object outside the place. */
const AROUND_BYTES_MAX = 65_536;
/** `O_NONBLOCK` has no effect on a file; without it, opening a FIFO would wait for a writer for ever. */
const READ_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** A directory on this host. Its root must exist: to create it could fill the disk under a mount point. */
export class LocalStorage implements Storage {
  readonly name: string;
  readonly settings: LocalStorageConfig;
  readonly #root: string;
  /** Shared by everything that uses this directory. */
  readonly #place: ReturnType<typeof placeAt>;

  constructor(config: LocalStorageConfig) {
    this.name = config.name;
    this.settings = config;
    this.#root = normalize(config.path).replace(/(?<=.)\/$/, "");
    this.#place = placeAt(this.#root);
  }

  describe(): Record<string, string> {
    return { type: this.settings.type, path: this.#root, min_free: String(this.settings.min_free_bytes) };
  }

  place(signal: AbortSignal): Promise<PlaceNames> {
    return this.#do("examine the place", signal, async () => {
      await this.#requireRoot();
      return placeOfDirectory(this.#root);
    });
  }

  around(key: string, signal: AbortSignal): Promise<Uint8Array[]> {
    return this.#do(`search the directories above for ${key}`, signal, async () => {
      const found: Uint8Array[] = [];
      for (let path = await realpath(this.#root); path !== dirname(path); path = dirname(path)) {
        const bytes = await beginningOf(join(dirname(path), key)).catch(() => undefined);
        if (bytes) found.push(bytes);
      }
      return found;
    });
  }

  put(key: string, body: AsyncIterable<Part>, options: PutOptions): Promise<StoredObject> {
    // The caller watches the progress of a put, so there is no time limit here.
    return this.#run(`put ${key}`, options.signal, 0, async () => {
      await this.#pathOf(key);
      const requireSpace = (bytes: number) => this.#requireSpace(key, bytes);
      await requireSpace(0);
      const { signal, onProgress } = options;
      const what = `storage "${this.name}": put ${key}`;
      const stats = await writeObject({
        what,
        root: this.#root,
        key,
        body,
        signal,
        requireSpace,
        onProgress,
      });
      return objectOf(key, stats);
    });
  }

  async *get(
    key: string,
    range: { start: number; length?: number } | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const what = `get ${key}`;
    const file = await this.#do(what, signal, async () => open(await this.#pathOf(key), READ_FLAGS));
    try {
      let position = range?.start ?? 0;
      const end = position + (range?.length ?? Number.POSITIVE_INFINITY);
      while (position < end) {
        const chunk = new Uint8Array(Math.min(READ_BYTES, end - position));
        const { bytesRead } = await this.#do(what, signal, () => file.read(chunk, 0, chunk.length, position));
        if (bytesRead === 0) return;
        position += bytesRead;
        yield chunk.subarray(0, bytesRead);
      }
    } finally {
      const closed = file.close();
      // A close would wait for a read that hangs.
      if (!this.#place.isHanging) await closed;
      else closed.catch(() => {});
    }
  }

  head(key: string, signal: AbortSignal): Promise<StoredObject | undefined> {
    return this.#do(`head ${key}`, signal, async () => {
      const stats = await statsOrMissing(await this.#pathOf(key));
      return stats?.isFile() ? objectOf(key, stats) : undefined;
    });
  }

  async *list(
    prefix: string,
    signal: AbortSignal,
    { after = "" }: ListOptions = {},
  ): AsyncGenerator<StoredObject> {
    const what = `list ${prefix}`;
    await this.#do(what, signal, () => this.#requireRoot());
    for await (const entry of this.#walk(what, signal, { prefix, after }))
      if (!isTemporary(entry.key)) yield entry;
  }

  remove(key: string, signal: AbortSignal): Promise<Removal> {
    return this.#do(`remove ${key}`, signal, async () => {
      const path = await this.#pathOf(key);
      if ((await statsOrMissing(path))?.isFile()) await removeFile(this.#root, path);
      return { outcome: "removed" };
    });
  }

  async lock(): Promise<LockAnswer> {
    return { lock: undefined, problem: "a directory has no Object Lock", isEverywhere: true };
  }

  discard(key: string, _uploadId: string | undefined, signal: AbortSignal): Promise<void> {
    return this.#do(`discard ${key}`, signal, async () => {
      await this.#pathOf(key);
      const path = temporaryPath(this.#root, key);
      if ((await statsOrMissing(path))?.isFile()) await removeFile(this.#root, path);
    });
  }

  async sweep(olderThan: Date, signal: AbortSignal): Promise<number> {
    let count = 0;
    await this.#do("sweep", signal, () => this.#requireRoot());
    for await (const { key, modifiedAt } of this.#walk("sweep", signal)) {
      if (!isTemporary(key) || modifiedAt >= olderThan) continue;
      await this.#do(`sweep ${key}`, signal, () => removeFile(this.#root, join(this.#root, key)));
      count++;
    }
    return count;
  }

  freeBytes(): Promise<number> {
    return this.#do("free space", undefined, async () => {
      await this.#requireRoot();
      const { bavail, bsize } = await statfs(this.#root);
      return Math.max(0, bavail * bsize - this.settings.min_free_bytes);
    });
  }

  clockSkewMs(_sinceMs?: number): undefined {}

  async [Symbol.asyncDispose](): Promise<void> {}

  /** Runs one operation, and stops waiting for it after `stall_timeout`. */
  #do<T>(what: string, signal: AbortSignal | undefined, operation: () => Promise<T>): Promise<T> {
    return this.#run(what, signal, this.settings.stall_timeout_ms, operation);
  }

  /** Runs one operation; throws its signal's reason, or its error converted to one of the contract. */
  async #run<T>(
    what: string,
    signal: AbortSignal | undefined,
    limitMs: number,
    operation: () => Promise<T>,
  ): Promise<T> {
    const call = {
      what: `storage "${this.name}": ${what}`,
      limitMs,
      signal,
      hint: "or raise its stall_timeout",
    };
    try {
      return await this.#place.run(call, operation);
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw localError(this.name, what, error, this.#root);
    }
  }

  async #requireRoot(): Promise<void> {
    // The root itself may be a symbolic link (hence the dot); but nothing below it.
    const stats = await statsOrMissing(`${this.#root}/.`);
    if (stats?.isDirectory()) return;
    throw new Pg321Error("storage", `storage "${this.name}": directory ${this.#root} does not exist`, {
      hint: `mount its disk, or create it: mkdir -m 700 ${shellQuoted(this.#root)}`,
    });
  }

  /** The path of a key, after checking every directory on the way: a symbolic link could lead elsewhere. */
  async #pathOf(key: string): Promise<string> {
    checkKey(this.name, key);
    await this.#requireRoot();
    let path = this.#root;
    const components = key.split("/");
    for (const [index, component] of components.entries()) {
      path = join(path, component);
      const stats = await statsOrMissing(path);
      if (stats === undefined) break;
      const isLast = index === components.length - 1;
      if (stats.isSymbolicLink() || (!isLast && !stats.isDirectory())) {
        const found = stats.isSymbolicLink() ? "a symbolic link" : "not a directory";
        throw new Pg321Error("storage", `storage "${this.name}": key ${key} refused: ${path} is ${found}`);
      }
    }
    return join(this.#root, key);
  }

  async #requireSpace(key: string, bytes: number): Promise<void> {
    // Without a minimum the disk itself reports when it is full.
    if (this.settings.min_free_bytes === 0) return;
    const { bavail, bsize } = await statfs(this.#root);
    const freeBytes = bavail * bsize;
    const { min_free_bytes } = this.settings;
    if (freeBytes - bytes >= min_free_bytes) return;
    const short = freeBytes < min_free_bytes ? "" : `, and ${sizeText(bytes)} more are needed`;
    throw new Pg321Error(
      "storage",
      `storage "${this.name}": put ${key}: ${sizeText(freeBytes)} free, but ${sizeText(min_free_bytes)} must stay free (min_free)${short}`,
      { hint: `free space on the file system of ${this.#root}, or lower min_free` },
    );
  }

  #walk(what: string, signal: AbortSignal, wanted = { prefix: "", after: "" }): AsyncGenerator<StoredObject> {
    return walk({ root: this.#root, run: (operation) => this.#do(what, signal, operation) }, "", wanted);
  }
}

/** Undefined if it is not a regular file: outside the place anything may lie. */
async function beginningOf(path: string): Promise<Uint8Array | undefined> {
  if (!(await lstat(path)).isFile()) return undefined;
  await using file = await open(path, READ_FLAGS);
  const { buffer, bytesRead } = await file.read(new Uint8Array(AROUND_BYTES_MAX), 0, AROUND_BYTES_MAX, 0);
  return buffer.subarray(0, bytesRead);
}
