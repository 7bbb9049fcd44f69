import { unlessAborted } from "../base/abort.ts";
import type { Clock } from "../base/clock.ts";
import { BufferPool } from "./buffer-pool.ts";
import type { Part } from "./part.ts";
import { PartQueue } from "./part-queue.ts";
import { parts } from "./parts.ts";

/** Takes the whole stream: a storage's `put`. */
export interface Sink<T> {
  name: string;
  /** Bytes per second below which it is dropped while it holds the source back; 0: never. */
  minRate: number;
  /**
   * It is dropped if it takes no byte for this long although bytes are waiting or the end is to be confirmed; 0:
   * never.
   */
  stallTimeoutMs: number;
  /**
   * Must read the body to its end before it resolves, release every part that it pulls exactly once, and
   * settle soon after the signal aborts. Resolving earlier counts as a failure.
   */
  store(
    body: AsyncIterable<Part>,
    signal: AbortSignal,
    onProgress: (bytes: number) => void,
    /** Waits for its own rate limit (true), and no longer (false): this time counts neither as slow nor as a stall. */
    onPause?: (isPaused: boolean) => void,
  ): Promise<T>;
}

export type SinkOutcome<T> =
  | { name: string; state: "stored"; value: T }
  /** The sink's own error, after its own retries. */
  | { name: string; state: "failed"; error: unknown }
  /** The sink was too slow for the source, or stalled. */
  | { name: string; state: "slow" | "stalled"; error: Error };

export interface FanOutOptions {
  partBytes: number;
  /** Parts by which the slowest sink may lag behind; times `partBytes` it is the memory of the fan-out. */
  partsAhead: number;
  /** A sink that holds the source back beyond this time, or would by projection, is dropped; 0: never. */
  maxDurationMs: number;
  /** Share of the source that has passed, 0 to 1, if known. */
  progress?: () => number | undefined;
  onProgress?: (name: string, bytes: number) => void;
  onOutcome?: (outcome: SinkOutcome<unknown>) => void;
  signal: AbortSignal;
  clock: Clock;
  /** Interval between checks of the sinks. */
  tickMs?: number;
  /** Time over which a rate is measured before it counts. */
  rateWindowMs?: number;
}

const TICK_MS = 500;
const RATE_WINDOW_MS = 10_000;
/** A sink holds the source back if the source waited for it for more than this share of the window. */
const HELD_BACK_SHARE = 0.5;

/** No sink is left, so the source was ended. `outcomes` has the reasons. */
export class NoSinkLeftError extends Error {
  readonly outcomes: SinkOutcome<unknown>[];

  constructor(outcomes: SinkOutcome<unknown>[]) {
    super("no storage is left to write the backup to");
    this.outcomes = outcomes;
  }
}

/**
 * Opens the source, reads it once and feeds every sink with the same parts. A sink that fails, stalls or is too
 * slow is dropped and the others continue. The source gets a signal that ends it early. An error of the source
 * reaches every sink in place of its body's end, so that none commits, and is thrown once all sinks have settled.
 * Throws `NoSinkLeftError` when the last sink is gone, and ends the source.
 *  If the signal aborts, its reason is thrown. If it aborts after the source has ended, some sinks may nevertheless
 * have stored the object; `onOutcome` has reported them.
 *  `minRate` and a projected delay never drop the last sink (a slow backup is better than none); a stall, and
 * actually exceeding `maxDurationMs`, do. Once the source has ended only a stall drops a sink. The outcome of a
 * sink that was at work when the source failed has the source's own error.
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

/** A sink with its queue and its state. */
interface Lane<T> {
  sink: Sink<T>;
  queue: PartQueue;
  abort: AbortController;
  /** Set when the sink is dropped; becomes its outcome when it settles, unless it has stored the object after all. */
  dropped: { name: string; state: "slow" | "stalled"; error: Error } | undefined;
  /** Set when the sink is ended from outside; errors that the sink then throws are not its own failure. */
  ended: { error: unknown } | undefined;
  outcome: SinkOutcome<T> | undefined;
  /** Bytes put into its queue, and bytes that it took. */
  pushedBytes: number;
  bytes: number;
  progressAtMs: number;
  window: { sinceMs: number; bytes: number; heldBackMs: number; pausedMs: number };
  /** Since when it waits for its own rate limit. */
  pausedSinceMs: number | undefined;
}

class FanOut<T> {
  readonly #lanes: Lane<T>[];
  readonly #options: FanOutOptions;
  readonly #pool: WatchedPool;
  readonly #startedAtMs: number;
  /** Aborts when no sink is left, to end a source that waits. */
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
      window: { sinceMs: now, bytes: 0, heldBackMs: 0, pausedMs: 0 },
      pausedSinceMs: undefined,
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
      // Checked before the lanes are ended, after which none is left in any case.
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
    // The part counts the lanes alive when it was made; a lane that has gone since releases it at once.
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

  /** Lanes that still take the stream. */
  #live(): Lane<T>[] {
    return this.#lanes.filter((lane) => !lane.outcome && !lane.dropped);
  }

  async #run(lane: Lane<T>): Promise<void> {
    const { name } = lane.sink;
    try {
      const value = await lane.sink.store(
        lane.queue,
        lane.abort.signal,
        (bytes) => this.#progress(lane, bytes),
        (isPaused) => this.#pause(lane, isPaused),
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

  #pause(lane: Lane<T>, isPaused: boolean): void {
    const now = this.#options.clock.monotonicMs();
    countPause(lane, now);
    lane.pausedSinceMs = isPaused ? now : undefined;
    lane.progressAtMs = now;
  }

  #drop(lane: Lane<T>, state: "slow" | "stalled", why: string): void {
    const error = new Error(why);
    lane.dropped = { name: lane.sink.name, state, error };
    this.#end(lane, error);
    this.#endSourceIfNoneLeft();
  }

  /** A sink that waits for its body gets the error there, a sink at work from its signal. */
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
   * The lanes with most of the stream still to take: if the source waits, it waits for them. A lane that is dropped
   * but has not settled still holds parts; the others must not be blamed for that.
   */
  #laggards(): Lane<T>[] {
    const atWork = this.#lanes.filter((lane) => !lane.outcome);
    const leastBytes = Math.min(...atWork.map((lane) => lane.bytes));
    return atWork.filter((lane) => lane.bytes === leastBytes);
  }

  #judge(lane: Lane<T>, now: number): void {
    const { sink, window } = lane;
    const { maxDurationMs, rateWindowMs = RATE_WINDOW_MS } = this.#options;
    countPause(lane, now);
    if (lane.pausedSinceMs !== undefined || (lane.bytes >= lane.pushedBytes && !this.#sourceEnded)) {
      // Having nothing to do is not a stall: the time counts from when it has something.
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
      const why = `delayed the dump beyond dump.max_duration (${seconds(maxDurationMs)})`;
      this.#drop(lane, "slow", why);
      return;
    }
    const activeMs = windowMs - window.pausedMs;
    if (activeMs < rateWindowMs) return;
    if (holdsBack && this.#live().length > 1) {
      const rate = (window.bytes / activeMs) * 1000;
      const why =
        rate < sink.minRate
          ? `took ${rateText(rate)}, less than its min_rate`
          : this.#projectedDelay(elapsedMs);
      if (why) this.#drop(lane, "slow", why);
    }
    lane.window = { sinceMs: now, bytes: 0, heldBackMs: 0, pausedMs: 0 };
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

/** Adds the current pause up to now. */
function countPause(lane: Pick<Lane<unknown>, "window" | "pausedSinceMs">, now: number): void {
  if (lane.pausedSinceMs === undefined) return;
  lane.window.pausedMs += now - lane.pausedSinceMs;
  lane.pausedSinceMs = now;
}

/** A pool that measures how long its users have waited for a free buffer. */
class WatchedPool extends BufferPool {
  readonly #clock: Clock;
  #waitedMs = 0;
  #waitingSinceMs: number | undefined;

  constructor(bufferBytes: number, capacity: number, clock: Clock) {
    super(bufferBytes, capacity);
    this.#clock = clock;
  }

  /** Sum of all waits, including the current one. */
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
