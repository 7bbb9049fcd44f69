import type { Clock } from "../base/clock.ts";
import type { Part } from "../stream/part.ts";
import type { PutOptions, Storage } from "./storage.ts";

/** Time that was not used is made up for later, but no more than this much of it. */
const BURST_MS = 1_000;
/** The first bytes of an object pass without waiting: markers and manifests are small, and some callers have a deadline. */
const FREE_BYTES = 64 * 1024;

/** The drivers of limited storages. */
const drivers = new WeakMap<Storage, Storage>();

/**
 * A storage whose `put` and `get` together pass at most `bytesPerSecond`, on average: a token bucket around the driver.
 * Everything else is the driver's own, so that a driver's optional calls stay what they are. Holds no bytes back: it
 * waits before it asks for more. Such a wait ends when the signal aborts. A put reports its waits (`onPause`), and ends
 * only once its bytes are paid for.
 */
export function rateLimited(storage: Storage, bytesPerSecond: number, clock: Clock): Storage {
  const bucket = new TokenBucket(bytesPerSecond, clock);
  const own = {
    put: (key: string, body: AsyncIterable<Part>, options: PutOptions) =>
      storage.put(key, pacedParts(body, bucket, options), options),
    get: (...[key, range, signal]: Parameters<Storage["get"]>) =>
      pacedBytes(storage.get(key, range, signal), bucket, signal),
    describe: () => ({ ...storage.describe(), rate_limit: String(bytesPerSecond) }),
  };
  const limited = new Proxy(storage, {
    get(driver, name) {
      if (Object.hasOwn(own, name)) return own[name as keyof typeof own];
      const value: unknown = Reflect.get(driver, name, driver);
      return typeof value === "function" ? value.bind(driver) : value;
    },
  });
  drivers.set(limited, storage);
  return limited;
}

/** The same storage without its `rate_limit`: for restores, which cannot wait. */
export function atFullSpeed(storage: Storage): Storage {
  return drivers.get(storage) ?? storage;
}

/** Shared by all transfers of one storage. Bytes are paid for after they have passed. */
class TokenBucket {
  readonly #bytesPerMs: number;
  readonly #clock: Clock;
  /** When all that has passed is paid for. */
  #paidAtMs = Number.NEGATIVE_INFINITY;

  constructor(bytesPerSecond: number, clock: Clock) {
    this.#bytesPerMs = bytesPerSecond / 1000;
    this.#clock = clock;
  }

  get isPaid(): boolean {
    return this.#paidAtMs <= this.#clock.monotonicMs();
  }

  spend(bytes: number): void {
    const since = Math.max(this.#paidAtMs, this.#clock.monotonicMs() - BURST_MS);
    this.#paidAtMs = since + bytes / this.#bytesPerMs;
  }

  /** Resolves once everything is paid for, also what others have passed meanwhile; rejects with the signal's reason. */
  async paid(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    while (!this.isPaid) await this.#clock.sleep(this.#paidAtMs - this.#clock.monotonicMs(), signal);
  }
}

async function* pacedParts(
  body: AsyncIterable<Part>,
  bucket: TokenBucket,
  { signal, onPause }: PutOptions,
): AsyncGenerator<Part, void, undefined> {
  const iterator = body[Symbol.asyncIterator]();
  let passedBytes = 0;
  let isOver = false;
  try {
    for (;;) {
      // No part is held during the wait, so an end of the wait has none to release.
      if (passedBytes > FREE_BYTES && !bucket.isPaid) {
        onPause?.(true);
        try {
          await bucket.paid(signal);
        } finally {
          onPause?.(false);
        }
      }
      const next = await iterator.next();
      if (next.done) {
        isOver = true;
        return;
      }
      passedBytes += next.value.bytes.length;
      bucket.spend(next.value.bytes.length);
      yield next.value;
    }
  } finally {
    // Not awaited: a generator that waits for its source returns only after that.
    if (!isOver) void Promise.resolve(iterator.return?.()).catch(() => {});
  }
}

async function* pacedBytes(
  source: AsyncIterable<Uint8Array>,
  bucket: TokenBucket,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  let passedBytes = 0;
  for await (const chunk of source) {
    passedBytes += chunk.length;
    bucket.spend(chunk.length);
    yield chunk;
    if (passedBytes > FREE_BYTES) await bucket.paid(signal);
  }
}
