import type { Part } from "./part.ts";

/**
 * The parts on their way to one sink. Bounded by the pool of the parts, not by itself. One reader. Parts that the
 * reader has not taken when the queue fails, or when the reader leaves, are released here, and so are those that
 * come later.
 */
export class PartQueue implements AsyncIterable<Part> {
  readonly #waiting: Part[] = [];
  #end: { error: unknown } | "normal" | undefined;
  #isRead = false;
  #wake: (() => void) | undefined;

  /** The reader has seen the normal end. */
  get isRead(): boolean {
    return this.#isRead;
  }

  push(part: Part): void {
    if (this.#end) {
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

  /** The reader gets this error instead of a next part or of the end. */
  fail(error: unknown): void {
    this.#end = { error };
    for (const part of this.#waiting.splice(0)) part.release();
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Part, void, undefined> {
    try {
      for (;;) {
        const part = this.#waiting.shift();
        if (part) {
          yield part;
          continue;
        }
        if (this.#end === "normal") {
          this.#isRead = true;
          return;
        }
        if (this.#end) throw this.#end.error;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      this.fail(new Error("the reader has left"));
    }
  }
}
