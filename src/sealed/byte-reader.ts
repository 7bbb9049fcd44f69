const EMPTY = new Uint8Array(0);

/**
 * Reads a stream of pieces of any size as runs of bytes of a wanted size. The rest can be iterated. The creator
 * must end it with `return()`, unless it was read to its end or threw.
 */
export class ByteReader implements AsyncIterableIterator<Uint8Array> {
  readonly #source: AsyncIterator<Uint8Array>;
  #piece: Uint8Array = EMPTY;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Exactly `count` bytes; fewer only if the stream ends. A view of one piece if that holds them all. */
  async take(count: number): Promise<Uint8Array> {
    if (!(await this.atEnd()) && this.#piece.length >= count) return this.#cut(count);
    const run = new Uint8Array(count);
    let filled = 0;
    while (filled < count && !(await this.atEnd())) {
      const part = this.#cut(count - filled);
      run.set(part, filled);
      filled += part.length;
    }
    return run.subarray(0, filled);
  }

  /** From 1 to `most` bytes, without waiting for more than one piece; none only if the stream has ended. */
  async some(most: number): Promise<Uint8Array> {
    return (await this.atEnd()) ? EMPTY : this.#cut(most);
  }

  /** True if no byte is left; pulls from the stream to find out. */
  async atEnd(): Promise<boolean> {
    while (this.#piece.length === 0) {
      const pulled = await this.#source.next();
      if (pulled.done) return true;
      this.#piece = pulled.value;
    }
    return false;
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    if (await this.atEnd()) return { done: true, value: undefined };
    return { done: false, value: this.#cut(this.#piece.length) };
  }

  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#piece = EMPTY;
    await this.#source.return?.();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #cut(count: number): Uint8Array {
    const part = this.#piece.subarray(0, count);
    this.#piece = this.#piece.subarray(part.length);
    return part;
  }
}
