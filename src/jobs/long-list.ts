import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { messageOf, Pg321Error } from "../base/errors.ts";
import { requireAnswer } from "../base/files/place.ts";
import { makePrivateDirectory, type PrivateDirectory } from "../base/files/private-files.ts";
import { writeWhole } from "../base/files/write-whole.ts";
import type { JobContext } from "./context.ts";

/** This many items stay in memory, so that nearly all lists need no file. */
const KEPT_MAX = 1_000;
const PAGE = 500;

/**
 * A list of any length in little memory: what it gets after its first items goes to a temporary file. The file has no
 * name, so nothing of it is left when the process ends in any way; if its name cannot be removed, what is left counts as
 * a private directory of this process, and is removed like these. If the file cannot be written, the items stay in memory: a
 * full disk must not end a cleanup. Items are as JSON leaves them.
 */
export class LongList<T> implements AsyncDisposable {
  readonly #log: JobContext["log"];
  readonly #tempDir: string;
  readonly #kept: T[] = [];
  #directory: PrivateDirectory | undefined;
  #file: FileHandle | undefined;
  /** The bytes of each page in the file. */
  readonly #pages: number[] = [];
  #fileBytes = 0;
  /** Items that come after those in the file. */
  #rest: T[] = [];
  #isRefused = false;
  #length = 0;

  constructor({ config, log }: Pick<JobContext, "log"> & { config: Pick<JobContext["config"], "temp_dir"> }) {
    this.#log = log;
    this.#tempDir = config.temp_dir;
  }

  get length(): number {
    return this.#length;
  }

  /** The number of items in memory. */
  get inMemory(): number {
    return this.#kept.length + this.#rest.length;
  }

  async push(...items: readonly T[]): Promise<void> {
    for (const item of items) {
      (this.#length++ < KEPT_MAX ? this.#kept : this.#rest).push(item);
      if (this.#rest.length >= PAGE && !this.#isRefused) await this.#flush();
    }
  }

  /** All items in their order, a page at a time; may be read several times, but not while items are added. */
  async *pages(): AsyncGenerator<T[]> {
    yield* slices(this.#kept);
    let position = 0;
    for (const length of this.#pages) {
      yield JSON.parse((await this.#read(position, length)).toString());
      position += length;
    }
    yield* slices(this.#rest);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for await (const page of this.pages()) yield* page;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
    await this.#removeDirectory();
  }

  async #flush(): Promise<void> {
    try {
      this.#file ??= await this.#open();
      const bytes = Buffer.from(JSON.stringify(this.#rest));
      await writeWhole(this.#file, bytes, this.#fileBytes);
      this.#pages.push(bytes.length);
      this.#fileBytes += bytes.length;
      this.#rest = [];
    } catch (error) {
      this.#isRefused = true;
      this.#log.warning("a long list stays in memory: it could not be written to temp_dir", {
        temp_dir: this.#tempDir,
        error: messageOf(error),
      });
    }
  }

  async #open(): Promise<FileHandle> {
    await requireAnswer(`temp_dir ${this.#tempDir}`, this.#tempDir);
    this.#directory = await makePrivateDirectory(this.#tempDir, "spool");
    const file = await open(join(this.#directory.path, "list"), "wx+", 0o600);
    await this.#removeDirectory();
    return file;
  }

  /** Also while the file in it is open, which NFS refuses. The next job removes a directory that is left, or reports it. */
  async #removeDirectory(): Promise<void> {
    try {
      await this.#directory?.[Symbol.asyncDispose]();
    } catch {}
  }

  async #read(position: number, length: number): Promise<Buffer> {
    const bytes = Buffer.alloc(length);
    for (let read = 0; read < length; ) {
      const { bytesRead } = (await this.#file?.read(bytes, read, length - read, position + read)) ?? {};
      if (!bytesRead)
        throw new Pg321Error("storage", `temp_dir ${this.#tempDir}: a temporary file has lost its end`);
      read += bytesRead;
    }
    return bytes;
  }
}

function* slices<T>(items: readonly T[]): Generator<T[]> {
  for (let at = 0; at < items.length; at += PAGE) yield items.slice(at, at + PAGE);
}
