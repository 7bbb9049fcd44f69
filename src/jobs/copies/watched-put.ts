import type { Clock } from "../../base/clock.ts";
import { Pg321Error } from "../../base/errors.ts";
import type { PutOptions, Storage } from "../../storage/storage.ts";
import type { Part } from "../../stream/part.ts";

export interface WatchedPutOptions extends PutOptions {
  /** The put fails if the storage takes no byte for this long while it has data; 0: never. */
  stallTimeoutMs: number;
  clock: Clock;
}

/** A put with a stall timeout, outside a fan-out (which has its own): a storage that hangs must not hang the job. */
export async function watchedPut(
  storage: Storage,
  key: string,
  body: AsyncIterable<Part>,
  options: WatchedPutOptions,
): Promise<void> {
  const { clock, stallTimeoutMs, ...putOptions } = options;
  const stalled = new AbortController();
  const settled = new AbortController();
  let waitingBytes = 0;
  /**
   * Whether the storage is at work, rather than waiting for the source. True before the first part: a file is opened
   * then.
   */
  let isItsTurn = true;
  let movedAtMs = clock.monotonicMs();
  let isPaused = false;

  async function* pulled(): AsyncGenerator<Part, void, undefined> {
    isItsTurn = false;
    for await (const part of body) {
      isItsTurn = true;
      // Time spent waiting for the source does not count.
      if (waitingBytes === 0) movedAtMs = clock.monotonicMs();
      waitingBytes += part.bytes.length;
      yield part;
      isItsTurn = false;
    }
    isItsTurn = true;
    movedAtMs = clock.monotonicMs();
  }
  const watch = async () => {
    for (let leftMs = stallTimeoutMs; leftMs > 0; ) {
      await clock.sleep(leftMs, settled.signal);
      const isAtWork = !isPaused && (isItsTurn || waitingBytes > 0);
      leftMs = isAtWork ? movedAtMs + stallTimeoutMs - clock.monotonicMs() : stallTimeoutMs;
    }
    stalled.abort(stallError(storage, key, stallTimeoutMs));
  };
  if (stallTimeoutMs > 0) void watch().catch(() => {});
  try {
    await storage.put(key, pulled(), {
      ...putOptions,
      signal: AbortSignal.any([putOptions.signal, stalled.signal]),
      onProgress: (bytes) => {
        waitingBytes -= bytes;
        movedAtMs = clock.monotonicMs();
        putOptions.onProgress?.(bytes);
      },
      onPause: (now) => {
        isPaused = now;
        movedAtMs = clock.monotonicMs();
        putOptions.onPause?.(now);
      },
    });
  } finally {
    settled.abort();
  }
}

function stallError(storage: Storage, key: string, stallTimeoutMs: number): Pg321Error {
  const what = `storage "${storage.name}": put ${key}`;
  return new Pg321Error("storage", `${what}: took no byte for ${stallTimeoutMs / 1000} s`, {
    hint: "check the network to the storage, or raise its stall_timeout",
    retryable: true,
  });
}
