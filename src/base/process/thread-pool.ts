import { stat } from "node:fs/promises";
import { availableParallelism } from "node:os";
import type { Clock } from "../clock.ts";

/** Threads beside one a core: so many calls may hang on disks that do not answer before anything else waits. */
const SPARE_THREADS = 32;

/**
 * Gives the runtime's thread pool room for calls that hang: it has a thread a core, and every file, every
 * compression and every name that is looked up needs one. Must be called before the pool is used, which from
 * source it always is, by the runtime. A size that the environment sets stays, and where libc cannot be reached the
 * pool stays as it is.
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
    // Then the helpers of `Place` have to do.
  }
}

/** Looks now and then whether the thread pool still answers. */
export class PoolWatch {
  readonly #clock: Clock;
  readonly #ask: () => Promise<unknown>;
  #askedAtMs: number | undefined;

  /** `ask`: what takes a thread of the pool for a moment, and no disk. */
  constructor(clock: Clock, ask: () => Promise<unknown> = () => stat("/proc/self")) {
    this.#clock = clock;
    this.#ask = ask;
  }

  /** Asks, unless an earlier question is still open. */
  look(): void {
    if (this.#askedAtMs !== undefined) return;
    this.#askedAtMs = this.#clock.monotonicMs();
    const onAnswer = () => {
      this.#askedAtMs = undefined;
    };
    this.#ask().then(onAnswer, onAnswer);
  }

  /** For how long it has not answered, in ms; 0 where nothing is open. */
  silentMs(): number {
    return this.#askedAtMs === undefined ? 0 : this.#clock.monotonicMs() - this.#askedAtMs;
  }
}
