import { MIB } from "../base/limits.ts";

/** About 30 scrapes of a small installation; a collection takes about 20 ms. */
const COLLECT_EVERY_BYTES = MIB;

/**
 * Runs the garbage collector after every MiB of answers. By itself it lets what an answer leaves behind pile up over
 * thousands of small answers, or some ten large ones (`npm run bench:soak`).
 */
export class AnswerGarbage {
  #bytes = 0;

  /** Counts an answer that its client has read. */
  left(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes < COLLECT_EVERY_BYTES) return;
    this.#bytes = 0;
    Bun.gc(true);
  }
}
