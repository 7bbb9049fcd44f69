import type { Clock } from "../../../src/base/clock.ts";
import { systemClock } from "../../../src/base/clock.ts";

interface Sleeper {
  dueMs: number;
  wake: () => void;
}

/** A clock that goes on as the system's, and that a test can set ahead: then everything that is due by then happens. */
export class JumpingClock implements Clock {
  #aheadMs = 0;
  readonly #sleepers = new Set<Sleeper>();

  now(): Date {
    return new Date(systemClock.now().getTime() + this.#aheadMs);
  }

  monotonicMs(): number {
    return systemClock.monotonicMs() + this.#aheadMs;
  }

  async sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    const woken = new AbortController();
    const sleeper = { dueMs: this.monotonicMs() + delayMs, wake: () => woken.abort() };
    this.#sleepers.add(sleeper);
    const ended = signal ? AbortSignal.any([signal, woken.signal]) : woken.signal;
    try {
      await systemClock.sleep(delayMs, ended);
    } catch {
      signal?.throwIfAborted();
    } finally {
      this.#sleepers.delete(sleeper);
    }
  }

  jump(ms: number): void {
    this.#aheadMs += ms;
    for (const { dueMs, wake } of this.#sleepers) if (dueMs <= this.monotonicMs()) wake();
  }
}
