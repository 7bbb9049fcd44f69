interface Events {
  /** Called when there is more room, or nobody reads any more. */
  onChange: () => void;
  /** Called once, when the reader has had everything or has left. */
  onRead: () => void;
}

/** Each piece takes memory of its own besides its bytes: a tampered container may have frames of one byte. */
const PIECE_BYTES = 200;

/** The bytes of one member between the stream and the member's reader. */
export class MemberBuffer implements AsyncIterableIterator<Uint8Array> {
  /** Bytes pushed so far. */
  bytes = 0;
  readonly #limit: number;
  readonly #events: Events;
  readonly #pieces: Uint8Array[] = [];
  /** With the memory of each piece. */
  #waitingBytes = 0;
  #isEnded = false;
  #isRead = false;
  #failure: { error: unknown } | undefined;
  #wake: (() => void) | undefined;

  constructor(limit: number, events: Events) {
    this.#limit = limit;
    this.#events = events;
  }

  get hasRoom(): boolean {
    return this.#isRead || this.#waitingBytes < this.#limit;
  }

  /** If the reader has left, the bytes are only counted. */
  push(piece: Uint8Array): void {
    this.bytes += piece.length;
    if (this.#isRead) return;
    // A small view of a large block would keep the whole block in memory while it waits.
    const isSmall = 2 * piece.length < piece.buffer.byteLength;
    this.#pieces.push(isSmall ? new Uint8Array(piece) : piece);
    this.#waitingBytes += PIECE_BYTES + piece.length;
    this.#wake?.();
  }

  end(): void {
    this.#isEnded = true;
    this.#wake?.();
  }

  /** The reader gets this instead of any further byte. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#wake?.();
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    for (;;) {
      if (this.#isRead) return { done: true, value: undefined };
      if (this.#failure) {
        this.#read();
        throw this.#failure.error;
      }
      const piece = this.#pieces.shift();
      if (piece) {
        this.#waitingBytes -= PIECE_BYTES + piece.length;
        this.#events.onChange();
        return { done: false, value: piece };
      }
      if (this.#isEnded) this.#read();
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#pieces.length = 0;
    this.#waitingBytes = 0;
    this.#read();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #read(): void {
    if (this.#isRead) return;
    this.#isRead = true;
    this.#events.onRead();
  }
}
