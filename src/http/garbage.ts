import type { Clock } from "../base/clock.ts";
import { MIB } from "../base/limits.ts";

/** About 30 scrapes of a small installation; a collection takes about 20 ms, and more in a large installation. */
const COLLECT_EVERY_BYTES = MIB;
/** A collection stops backups and other answers, so a client that asks for large answers in a loop causes few. */
const COLLECT_EVERY_MS = 5_000;
/** This many bytes do not wait for that time; a stream collects after as many. */
const COLLECT_AT_ONCE_BYTES = 64 * MIB;

/**
 * Runs the garbage collector after every MiB of answers, but at most once in `COLLECT_EVERY_MS` unless much more is left.
 * By itself it lets what an answer leaves behind pile up over thousands of small answers, or some ten large ones
 * (`npm run bench:soak`).
 */
export class AnswerGarbage {
  readonly #clock: Clock;
  #bytes = 0;
  #collectedAtMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Counts an answer that its client has read. */
  left(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes < COLLECT_EVERY_BYTES) return;
    const nowMs = this.#clock.monotonicMs();
    const isSoon = nowMs - this.#collectedAtMs < COLLECT_EVERY_MS;
    if (isSoon && this.#bytes < COLLECT_AT_ONCE_BYTES) return;
    this.#bytes = 0;
    this.#collectedAtMs = nowMs;
    Bun.gc(true);
  }
}
