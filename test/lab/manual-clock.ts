import { setImmediate } from "node:timers/promises";
import type { Clock } from "../../src/base/clock.ts";

interface Sleeper {
  dueMs: number;
  wake: () => void;
}

/** A clock that only a test advances. */
export class ManualClock implements Clock {
  readonly #startedAt: Date;
  #elapsedMs = 0;
  #sleepers: Sleeper[] = [];

  constructor(startedAt: Date = new Date("2026-11-23T00:00:00Z")) {
    this.#startedAt = startedAt;
  }

  now(): Date {
    return new Date(this.#startedAt.getTime() + this.#elapsedMs);
  }

  monotonicMs(): number {
    return this.#elapsedMs;
  }

  /** The number of current sleepers. */
  get sleeping(): number {
    return this.#sleepers.length;
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const leave = () => {
        this.#sleepers = this.#sleepers.filter((other) => other !== sleeper);
        signal?.removeEventListener("abort", onAbort);
      };
      const onAbort = () => {
        leave();
        reject(signal?.reason);
      };
      const wake = () => {
        leave();
        resolve();
      };
      const sleeper: Sleeper = { dueMs: this.#elapsedMs + Math.max(0, delayMs), wake };
      this.#sleepers.push(sleeper);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  /**
   * Advances the time and wakes the sleepers that are due, one after the other in the order of their times. Each runs,
   * and may sleep again, before the next one wakes.
   */
  async advance(durationMs: number): Promise<void> {
    const untilMs = this.#elapsedMs + durationMs;
    await setImmediate();
    for (;;) {
      const next = this.#sleepers.toSorted((left, right) => left.dueMs - right.dueMs)[0];
      if (!next || next.dueMs > untilMs) break;
      this.#elapsedMs = Math.max(this.#elapsedMs, next.dueMs);
      next.wake();
      await setImmediate();
    }
    this.#elapsedMs = untilMs;
  }

  /**
   * Advances the time in steps until `promise` settles. If that depends on something outside (a child process), `turn`
   * gives it real time between the steps.
   */
  async advanceUntil<T>(
    promise: Promise<T>,
    stepMs = 100,
    turn: () => Promise<unknown> = setImmediate,
  ): Promise<T> {
    let isSettled = false;
    const settle = () => {
      isSettled = true;
    };
    promise.then(settle, settle);
    while (!isSettled) {
      await this.advance(stepMs);
      await turn();
    }
    return promise;
  }
}
