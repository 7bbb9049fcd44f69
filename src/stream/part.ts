import { createHash } from "node:crypto";

/**
 * A run of bytes of one object, shared by all storages that take it. All parts of an object except the last have
 * the same size. The buffer is reused: its bytes are valid only until the last holder releases it.
 */
export class Part {
  readonly bytes: Uint8Array;
  /** Byte offset of this part in the object. */
  readonly offset: number;
  #holders: number;
  #md5: string | undefined;
  readonly #onFree: (() => void) | undefined;

  constructor(bytes: Uint8Array, offset: number, holders: number, onFree?: () => void) {
    this.bytes = bytes;
    this.offset = offset;
    this.#holders = holders;
    this.#onFree = onFree;
  }

  /** Base64 MD5 for `Content-MD5`, computed once for all storages. */
  md5(): string {
    this.#md5 ??= createHash("md5").update(this.bytes).digest("base64");
    return this.#md5;
  }

  /** Each holder calls this exactly once, when it no longer needs the bytes. */
  release(): void {
    if (--this.#holders === 0) this.#onFree?.();
  }
}

/** The parts of a small object in memory (a manifest): one part, one holder. */
export async function* partsOf(bytes: Uint8Array): AsyncGenerator<Part> {
  yield new Part(bytes, 0, 1);
}
