import type { Clock } from "../base/clock.ts";
import { BufferPool } from "./buffer-pool.ts";
import type { Part } from "./part.ts";
import { PartQueue } from "./part-queue.ts";
import { parts } from "./parts.ts";

/** One that takes the whole stream: a storage's `put`. */
export interface Sink<T> {
  name: string;
  /** Bytes per second under which it is dropped while it holds the source back; 0: never. */
  minRate: number;
  /** No byte taken for this long, with bytes waiting, drops it. */
  stallTimeoutMs: number;
  /** Must release every part that it pulls, and reject soon after the signal aborts. */
  store(body: AsyncIterable<Part>, signal: AbortSignal, onProgress: (bytes: number) => void): Promise<T>;
}

export type SinkOutcome<T> =
  | { name: string; state: "stored"; value: T }
  /** Its own error, after its own retries. */
  | { name: string; state: "failed"; error: unknown }
  /** It was too slow for the source, or it stalled. */
  | { name: string; state: "slow" | "stalled"; error: Error };

export interface FanOutOptions {
  partBytes: number;
  /** Parts that the slowest sink may lag behind; together with `partBytes` the memory of the fan-out. */
  partsAhead: number;
  /** A sink that holds the source back past this time (or is projected to) is dropped; 0: never. */
  maxDurationMs: number;
  /** Share of the source that has passed, 0 to 1, where it can be told. */
  progress?: () => number | undefined;
  onProgress?: (name: string, bytes: number) => void;
  onOutcome?: (outcome: SinkOutcome<unknown>) => void;
  signal: AbortSignal;
  clock: Clock;
  /** How often sinks are looked at. */
  tickMs?: number;
  /** Over how long a rate is measured before it counts. */
  rateWindowMs?: number;
}

const TICK_MS = 500;
const RATE_WINDOW_MS = 10_000;
/** A sink holds the source back when the source waited for it for more than this share of the window. */
const HELD_BACK_SHARE = 0.5;

/** No sink is left: the source was ended for it. `outcomes` tells why. */
export class NoSinkLeftError extends Error {
  readonly outcomes: SinkOutcome<unknown>[];

  constructor(outcomes: SinkOutcome<unknown>[]) {
    super("no storage is left to take the stream");
    this.outcomes = outcomes;
  }
}

/**
 * Opens the source, reads it once and feeds every sink with the same parts. A sink that fails, stalls or
 * is too slow is dropped and the others go on. The source is handed a signal that ends it early. An error of the source reaches every sink as the end of its body, so
 * none commits, and is thrown once all of them have settled. Throws `NoSinkLeftError` when the last sink
 * is gone, and ends the source.
 *
 * `minRate` and a projected delay never drop the last sink (a slow backup beats none); a stall, and
 * passing `maxDurationMs` in fact, do.
 */
export async function fanOut<T>(
  open: (signal: AbortSignal) => AsyncIterable<Uint8Array>,
  sinks: readonly Sink<T>[],
  options: FanOutOptions,
): Promise<SinkOutcome<T>[]> {
  return new FanOut(sinks, options).feed(open);
}

/** A sink at work. */
interface Lane<T> {
  sink: Sink<T>;
  queue: PartQueue;
  abort: AbortController;
  outcome: SinkOutcome<T> | undefined;
  done: Promise<void>;
  /** Bytes that were put before it, and bytes that it took. */
  pushedBytes: number;
  bytes: number;
  progressAtMs: number;
  window: { sinceMs: number; bytes: number; heldBackMs: number };
}

class FanOut<T> {
  readonly #lanes: Lane<T>[];
  readonly #options: FanOutOptions;
  readonly #pool: BufferPool;
  readonly #startedAtMs: number;
  /** Aborted when no sink is left, so that a source that waits is ended. */
  readonly #noneLeft = new AbortController();
  /** Since when the source waits for a free part; undefined while it does not. */
  #waitingSinceMs: number | undefined;
  #sourceEnded = false;

  constructor(sinks: readonly Sink<T>[], options: FanOutOptions) {
    this.#options = options;
    this.#pool = new WatchedPool(options.partBytes, options.partsAhead, (waiting) => {
      this.#waitingSinceMs = waiting ? options.clock.monotonicMs() : undefined;
    });
    this.#startedAtMs = options.clock.monotonicMs();
    this.#lanes = sinks.map((sink) => this.#start(sink));
  }

  async feed(open: (signal: AbortSignal) => AsyncIterable<Uint8Array>): Promise<SinkOutcome<T>[]> {
    const watching = new AbortController();
    const watch = this.#watch(watching.signal).catch(() => {});
    const signal = AbortSignal.any([this.#options.signal, this.#noneLeft.signal]);
    try {
      await this.#deliver(open(signal), signal);
      this.#sourceEnded = true;
      for (const lane of this.#lanes) lane.queue.end();
      await Promise.race([this.#settled(), rejectedWhenAborted(this.#options.signal)]);
    } catch (error) {
      for (const lane of this.#lanes) lane.queue.fail(error);
      for (const lane of this.#lanes) lane.abort.abort(error);
      await this.#settled();
      if (!this.#noneLeft.signal.aborted) throw error;
    } finally {
      watching.abort();
      await watch;
    }
    const outcomes = this.#lanes.map((lane) => lane.outcome as SinkOutcome<T>);
    if (outcomes.every((outcome) => outcome.state !== "stored")) throw new NoSinkLeftError(outcomes);
    return outcomes;
  }

  async #deliver(source: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
    // A part counts on those that were there when it was made; one that is gone since releases it at once.
    let receivers: Lane<T>[] = [];
    const holders = () => {
      receivers = this.#live();
      return receivers.length;
    };
    for await (const part of parts(source, this.#pool, holders, signal)) {
      for (const lane of receivers) {
        lane.pushedBytes += part.bytes.length;
        lane.queue.push(part);
      }
    }
    signal.throwIfAborted();
  }

  async #settled(): Promise<void> {
    await Promise.all(this.#lanes.map((lane) => lane.done));
  }

  #live(): Lane<T>[] {
    return this.#lanes.filter((lane) => lane.outcome === undefined);
  }

  #start(sink: Sink<T>): Lane<T> {
    const now = this.#options.clock.monotonicMs();
    const lane: Lane<T> = {
      sink,
      queue: new PartQueue(),
      abort: new AbortController(),
      outcome: undefined,
      done: Promise.resolve(),
      pushedBytes: 0,
      bytes: 0,
      progressAtMs: now,
      window: { sinceMs: now, bytes: 0, heldBackMs: 0 },
    };
    const onProgress = (bytes: number) => {
      lane.bytes += bytes;
      lane.window.bytes += bytes;
      lane.progressAtMs = this.#options.clock.monotonicMs();
      this.#options.onProgress?.(sink.name, lane.bytes);
    };
    lane.done = sink.store(lane.queue, lane.abort.signal, onProgress).then(
      (value) => this.#settle(lane, { name: sink.name, state: "stored", value }),
      (error) => this.#settle(lane, { name: sink.name, state: "failed", error }),
    );
    return lane;
  }

  /** The first outcome counts: a lane that was dropped has its own before its put rejects. */
  #settle(lane: Lane<T>, outcome: SinkOutcome<T>): void {
    if (lane.outcome === undefined) {
      lane.outcome = outcome;
      this.#options.onOutcome?.(outcome);
    }
    lane.queue.discard();
    if (this.#live().length === 0 && !this.#sourceEnded) this.#noneLeft.abort(new NoSinkLeftError([]));
  }

  #drop(lane: Lane<T>, state: "slow" | "stalled", why: string): void {
    const error = new Error(why);
    this.#settle(lane, { name: lane.sink.name, state, error });
    lane.abort.abort(error);
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const tickMs = this.#options.tickMs ?? TICK_MS;
    for (;;) {
      await this.#options.clock.sleep(tickMs, signal);
      const now = this.#options.clock.monotonicMs();
      for (const lane of this.#live()) this.#judge(lane, now, tickMs);
    }
  }

  #judge(lane: Lane<T>, now: number, tickMs: number): void {
    const { sink, window } = lane;
    if (lane.bytes >= lane.pushedBytes && !this.#sourceEnded) {
      // Nothing to do is not a stall: the time counts from when it has something.
      lane.progressAtMs = now;
    } else if (sink.stallTimeoutMs > 0 && now - lane.progressAtMs >= sink.stallTimeoutMs) {
      this.#drop(lane, "stalled", `took no byte for ${seconds(sink.stallTimeoutMs)}`);
      return;
    }
    if (this.#isWaitingFor(lane, now, tickMs)) window.heldBackMs += tickMs;
    const elapsedMs = now - this.#startedAtMs;
    const windowMs = now - window.sinceMs;
    const isLast = this.#live().length === 1;
    if (
      this.#options.maxDurationMs > 0 &&
      elapsedMs > this.#options.maxDurationMs &&
      window.heldBackMs > windowMs / 2
    ) {
      this.#drop(
        lane,
        "slow",
        `held the dump back past dump.max_duration (${seconds(this.#options.maxDurationMs)})`,
      );
      return;
    }
    if (windowMs < (this.#options.rateWindowMs ?? RATE_WINDOW_MS)) return;
    if (window.heldBackMs > windowMs * HELD_BACK_SHARE && !isLast) {
      const rate = (window.bytes / windowMs) * 1000;
      const why =
        rate < sink.minRate
          ? `took ${rateText(rate)}, less than its min_rate`
          : this.#projectedDelay(elapsedMs);
      if (why) this.#drop(lane, "slow", why);
    }
    lane.window = { sinceMs: now, bytes: 0, heldBackMs: 0 };
  }

  /** The source has waited since the last tick, and no live lane has more of it before it than this one. */
  #isWaitingFor(lane: Lane<T>, now: number, tickMs: number): boolean {
    if (this.#waitingSinceMs === undefined || now - this.#waitingSinceMs < tickMs / 2) return false;
    return lane.bytes <= Math.min(...this.#live().map((other) => other.bytes));
  }

  #projectedDelay(elapsedMs: number): string | undefined {
    const share = this.#options.progress?.();
    const { maxDurationMs } = this.#options;
    if (maxDurationMs <= 0 || share === undefined || share <= 0) return undefined;
    const projectedMs = elapsedMs / Math.min(1, share);
    if (projectedMs <= maxDurationMs) return undefined;
    return `would make the dump take about ${seconds(projectedMs)}, longer than dump.max_duration`;
  }
}

function rejectedWhenAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}

/** Tells when somebody begins and ends to wait for a free buffer. */
class WatchedPool extends BufferPool {
  readonly #onWait: (waiting: boolean) => void;

  constructor(bufferBytes: number, capacity: number, onWait: (waiting: boolean) => void) {
    super(bufferBytes, capacity);
    this.#onWait = onWait;
  }

  override async acquire(signal?: AbortSignal): Promise<Uint8Array> {
    this.#onWait(true);
    try {
      return await super.acquire(signal);
    } finally {
      this.#onWait(false);
    }
  }
}

function seconds(durationMs: number): string {
  return `${Math.round(durationMs / 100) / 10} s`;
}

function rateText(bytesPerSecond: number): string {
  return `${(bytesPerSecond / 1024 / 1024).toFixed(2)} MiB/s`;
}
