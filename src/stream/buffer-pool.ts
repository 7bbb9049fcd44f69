/**
 * Buffers of one size that are reused, so that a dump of any length uses the same memory. The stage that fills them
 * waits for a free one; that wait is its backpressure.
 */
export class BufferPool {
  readonly bufferBytes: number;
  readonly #capacity: number;
  readonly #made = new Set<ArrayBufferLike>();
  readonly #free: Uint8Array[] = [];
  readonly #waiting: ((buffer: Uint8Array) => void)[] = [];

  /** At most `capacity` buffers of `bufferBytes` bytes; each is created when it is first needed. */
  constructor(bufferBytes: number, capacity: number) {
    this.bufferBytes = bufferBytes;
    this.#capacity = capacity;
  }

  /** A whole buffer with arbitrary content; waits until one is free. */
  async acquire(signal?: AbortSignal): Promise<Uint8Array> {
    signal?.throwIfAborted();
    const free = this.#free.pop();
    if (free) return free;
    if (this.#made.size < this.#capacity) {
      const made = new Uint8Array(this.bufferBytes);
      this.#made.add(made.buffer);
      return made;
    }
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#waiting.splice(this.#waiting.indexOf(take), 1);
        reject(signal?.reason);
      };
      const take = (buffer: Uint8Array) => {
        signal?.removeEventListener("abort", onAbort);
        resolve(buffer);
      };
      this.#waiting.push(take);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** Takes back the buffer underlying `view`. The caller must not use its bytes afterwards. */
  release(view: Uint8Array): void {
    const isFree = this.#free.some((free) => free.buffer === view.buffer);
    // This is a bug that would let two holders write into the same memory unnoticed.
    if (isFree || !this.#made.has(view.buffer)) throw new Error("released a buffer that is not in use");
    const whole = new Uint8Array(view.buffer as ArrayBuffer, 0, this.bufferBytes);
    const next = this.#waiting.shift();
    if (next) next(whole);
    else this.#free.push(whole);
  }
}
