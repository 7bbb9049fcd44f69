import { stat } from "node:fs/promises";
import { availableParallelism } from "node:os";
import type { Clock } from "../clock.ts";

/** Threads beyond one per core: this many calls may hang on unresponsive disks before other calls have to wait. */
const SPARE_THREADS = 32;

/**
 * Enlarges the runtime's thread pool for calls that hang: it has one thread per core, and file calls, compression
 * and name lookups all need one. Must be called before the pool is first used; in a run from source it has no effect,
 * because the runtime has used the pool before. A size set in the environment is kept. If libc cannot be loaded, the
 * pool keeps its size.
 */
export async function widenThreadPool(): Promise<void> {
  try {
    const { dlopen, FFIType } = await import("bun:ffi");
    const { cstring, i32 } = FFIType;
    const libc = dlopen("libc.so.6", { setenv: { args: [cstring, cstring, i32], returns: i32 } });
    const threads = availableParallelism() + SPARE_THREADS;
    libc.symbols.setenv(Buffer.from("UV_THREADPOOL_SIZE\0"), Buffer.from(`${threads}\0`), 0);
    libc.close();
  } catch {
    // The helper processes of `Place` still protect against most hanging calls.
  }
}

/** Checks from time to time whether the thread pool still answers. */
export class PoolWatch {
  readonly #clock: Clock;
  readonly #ask: () => Promise<unknown>;
  #askedAtMs: number | undefined;

  /** `ask` must use a thread of the pool for a moment, and no disk. */
  constructor(clock: Clock, ask: () => Promise<unknown> = () => stat("/proc/self")) {
    this.#clock = clock;
    this.#ask = ask;
  }

  /** Asks, unless an earlier question is still unanswered. */
  look(): void {
    if (this.#askedAtMs !== undefined) return;
    this.#askedAtMs = this.#clock.monotonicMs();
    const onAnswer = () => {
      this.#askedAtMs = undefined;
    };
    this.#ask().then(onAnswer, onAnswer);
  }

  /** How long it has not answered, in ms; 0 if no question is open. */
  silentMs(): number {
    return this.#askedAtMs === undefined ? 0 : this.#clock.monotonicMs() - this.#askedAtMs;
  }
}
