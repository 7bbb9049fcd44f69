import type { Part } from "./part.ts";

/**
 * The parts on their way to one sink. It is bounded by the pool that the parts come from, not by itself.
 * One reader. A part that the reader has not pulled when the queue is discarded is released here.
 */
export class PartQueue implements AsyncIterable<Part> {
  readonly #waiting: Part[] = [];
  #end: { error: unknown } | "normal" | undefined;
  #isDiscarded = false;
  #wake: (() => void) | undefined;

  push(part: Part): void {
    if (this.#isDiscarded) {
      part.release();
      return;
    }
    this.#waiting.push(part);
    this.#wake?.();
  }

  /** The reader sees a normal end after the last part. */
  end(): void {
    this.#end ??= "normal";
    this.#wake?.();
  }

  /** The reader gets this error instead of a next part. */
  fail(error: unknown): void {
    this.#end = { error };
    this.#release();
    this.#wake?.();
  }

  /** The reader is gone: whatever waits or still comes is released at once. */
  discard(): void {
    this.#isDiscarded = true;
    this.#release();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Part, void, undefined> {
    for (;;) {
      const part = this.#waiting.shift();
      if (part) {
        yield part;
        continue;
      }
      if (this.#end === "normal") return;
      if (this.#end) throw this.#end.error;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #release(): void {
    for (const part of this.#waiting.splice(0)) part.release();
  }
}
