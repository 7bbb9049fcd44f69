import { unlessAborted } from "../base/abort.ts";
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
  /** No byte taken for this long, with bytes waiting or the end to be confirmed, drops it; 0: never. */
  stallTimeoutMs: number;
  /**
   * Must read the body to its end before it resolves, release every part that it pulls exactly once, and
   * settle soon after the signal aborts. Resolving earlier counts as a failure.
   */
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
 * is too slow is dropped and the others go on. The source is handed a signal that ends it early. An error
 * of the source reaches every sink in place of its body's end, so none commits, and is thrown once all of
 * them have settled. Throws `NoSinkLeftError` when the last sink is gone, and ends the source.
 *
 * An aborted signal is thrown as its reason. When it aborts after the source has ended, some sinks may
 * have stored the object all the same: `onOutcome` has told of them.
 *
 * `minRate` and a projected delay never drop the last sink (a slow backup beats none); a stall, and
 * passing `maxDurationMs` in fact, do. Once the source has ended only a stall does. The outcome of a sink that was at
 * work when the source failed has the source's error itself.
 */
export async function fanOut<T>(
  open: (signal: AbortSignal) => AsyncIterable<Uint8Array>,
  sinks: readonly Sink<T>[],
  options: FanOutOptions,
): Promise<SinkOutcome<T>[]> {
  options.signal.throwIfAborted();
  if (sinks.length === 0) throw new NoSinkLeftError([]);
  return new FanOut(sinks, options).feed(open);
}

/** A sink at work. */
interface Lane<T> {
  sink: Sink<T>;
  queue: PartQueue;
  abort: AbortController;
  /** Set when it is dropped; its outcome once it has settled, unless it has stored all the same. */
  dropped: { name: string; state: "slow" | "stalled"; error: Error } | undefined;
  /** Why it was ended from outside; what the sink makes of that is no failure of its own. */
  ended: { error: unknown } | undefined;
  outcome: SinkOutcome<T> | undefined;
  /** Bytes that were put before it, and bytes that it took. */
  pushedBytes: number;
  bytes: number;
  progressAtMs: number;
  window: { sinceMs: number; bytes: number; heldBackMs: number };
}

class FanOut<T> {
  readonly #lanes: Lane<T>[];
  readonly #options: FanOutOptions;
  readonly #pool: WatchedPool;
  readonly #startedAtMs: number;
  /** Aborted when no sink is left, so that a source that waits is ended. */
  readonly #noneLeft = new AbortController();
  #sourceEnded = false;

  constructor(sinks: readonly Sink<T>[], options: FanOutOptions) {
    this.#options = options;
    this.#pool = new WatchedPool(options.partBytes, options.partsAhead, options.clock);
    const now = options.clock.monotonicMs();
    this.#startedAtMs = now;
    this.#lanes = sinks.map((sink) => ({
      sink,
      queue: new PartQueue(),
      abort: new AbortController(),
      dropped: undefined,
      ended: undefined,
      outcome: undefined,
      pushedBytes: 0,
      bytes: 0,
      progressAtMs: now,
      window: { sinceMs: now, bytes: 0, heldBackMs: 0 },
    }));
  }

  async feed(open: (signal: AbortSignal) => AsyncIterable<Uint8Array>): Promise<SinkOutcome<T>[]> {
    const watching = new AbortController();
    const watch = this.#watch(watching.signal).catch(() => {});
    const settled = Promise.all(this.#lanes.map((lane) => this.#run(lane)));
    const signal = AbortSignal.any([this.#options.signal, this.#noneLeft.signal]);
    try {
      await this.#deliver(open(signal), signal);
      this.#sourceEnded = true;
      for (const lane of this.#lanes) lane.queue.end();
      await unlessAborted(settled, this.#options.signal);
    } catch (error) {
      // Asked before the lanes are ended, which leaves none in any case.
      const isForLackOfSinks = this.#noneLeft.signal.aborted;
      const cause = this.#options.signal.aborted ? this.#options.signal.reason : error;
      for (const lane of this.#lanes) this.#end(lane, cause);
      await settled;
      if (!isForLackOfSinks || this.#options.signal.aborted) throw cause;
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

  /** Those that still take the stream. */
  #live(): Lane<T>[] {
    return this.#lanes.filter((lane) => !lane.outcome && !lane.dropped);
  }

  async #run(lane: Lane<T>): Promise<void> {
    const { name } = lane.sink;
    try {
      const value = await lane.sink.store(lane.queue, lane.abort.signal, (bytes) =>
        this.#progress(lane, bytes),
      );
      if (!lane.queue.isRead) throw new Error("ended before the stream did");
      lane.outcome = { name, state: "stored", value };
    } catch (error) {
      lane.outcome = lane.dropped ?? { name, state: "failed", error: lane.ended ? lane.ended.error : error };
    }
    lane.queue.fail(new Error("its sink has settled"));
    this.#endSourceIfNoneLeft();
    this.#options.onOutcome?.(lane.outcome);
  }

  #progress(lane: Lane<T>, bytes: number): void {
    lane.bytes += bytes;
    lane.window.bytes += bytes;
    lane.progressAtMs = this.#options.clock.monotonicMs();
    this.#options.onProgress?.(lane.sink.name, lane.bytes);
  }

  #drop(lane: Lane<T>, state: "slow" | "stalled", why: string): void {
    const error = new Error(why);
    lane.dropped = { name: lane.sink.name, state, error };
    this.#end(lane, error);
    this.#endSourceIfNoneLeft();
  }

  /** A sink that waits for its body learns it there, one that works learns it from its signal. */
  #end(lane: Lane<T>, error: unknown): void {
    lane.ended ??= { error };
    lane.queue.fail(error);
    lane.abort.abort(error);
  }

  #endSourceIfNoneLeft(): void {
    if (this.#live().length === 0 && !this.#sourceEnded) this.#noneLeft.abort(new NoSinkLeftError([]));
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const tickMs = this.#options.tickMs ?? TICK_MS;
    let waitedMs = 0;
    for (;;) {
      await this.#options.clock.sleep(tickMs, signal);
      const now = this.#options.clock.monotonicMs();
      const heldBackMs = this.#pool.waitedMs - waitedMs;
      waitedMs += heldBackMs;
      for (const lane of this.#laggards()) lane.window.heldBackMs += heldBackMs;
      for (const lane of this.#live()) this.#judge(lane, now);
    }
  }

  /**
   * Those that have most of the stream before them: whatever time the source waits, it waits for them. One
   * that is dropped but not gone yet still holds parts; the others must not be blamed for that.
   */
  #laggards(): Lane<T>[] {
    const atWork = this.#lanes.filter((lane) => !lane.outcome);
    const leastBytes = Math.min(...atWork.map((lane) => lane.bytes));
    return atWork.filter((lane) => lane.bytes === leastBytes);
  }

  #judge(lane: Lane<T>, now: number): void {
    const { sink, window } = lane;
    const { maxDurationMs, rateWindowMs = RATE_WINDOW_MS } = this.#options;
    if (lane.bytes >= lane.pushedBytes && !this.#sourceEnded) {
      // Nothing to do is not a stall: the time counts from when it has something.
      lane.progressAtMs = now;
    } else if (sink.stallTimeoutMs > 0 && now - lane.progressAtMs >= sink.stallTimeoutMs) {
      this.#drop(lane, "stalled", `took no byte for ${seconds(sink.stallTimeoutMs)}`);
      return;
    }
    if (this.#sourceEnded) return;
    const elapsedMs = now - this.#startedAtMs;
    const windowMs = now - window.sinceMs;
    const holdsBack = window.heldBackMs > windowMs * HELD_BACK_SHARE;
    if (maxDurationMs > 0 && elapsedMs > maxDurationMs && holdsBack) {
      const why = `held the dump back past dump.max_duration (${seconds(maxDurationMs)})`;
      this.#drop(lane, "slow", why);
      return;
    }
    if (windowMs < rateWindowMs) return;
    if (holdsBack && this.#live().length > 1) {
      const rate = (window.bytes / windowMs) * 1000;
      const why =
        rate < sink.minRate
          ? `took ${rateText(rate)}, less than its min_rate`
          : this.#projectedDelay(elapsedMs);
      if (why) this.#drop(lane, "slow", why);
    }
    lane.window = { sinceMs: now, bytes: 0, heldBackMs: 0 };
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

/** Tells how long its users have waited for a free buffer. */
class WatchedPool extends BufferPool {
  readonly #clock: Clock;
  #waitedMs = 0;
  #waitingSinceMs: number | undefined;

  constructor(bufferBytes: number, capacity: number, clock: Clock) {
    super(bufferBytes, capacity);
    this.#clock = clock;
  }

  /** All waits together, the one that is under way included. */
  get waitedMs(): number {
    const underWayMs =
      this.#waitingSinceMs === undefined ? 0 : this.#clock.monotonicMs() - this.#waitingSinceMs;
    return this.#waitedMs + underWayMs;
  }

  override async acquire(signal?: AbortSignal): Promise<Uint8Array> {
    this.#waitingSinceMs = this.#clock.monotonicMs();
    try {
      return await super.acquire(signal);
    } finally {
      this.#waitedMs = this.waitedMs;
      this.#waitingSinceMs = undefined;
    }
  }
}

function seconds(durationMs: number): string {
  return `${Math.round(durationMs / 100) / 10} s`;
}

function rateText(bytesPerSecond: number): string {
  return `${(bytesPerSecond / 1024 / 1024).toFixed(2)} MiB/s`;
}
