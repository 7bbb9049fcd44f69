import { unlessLate } from "../base/abort.ts";
import type { Clock } from "../base/clock.ts";

/**
 * Passes the source on unchanged; throws the error made by `stalled` if a requested chunk has not come after
 * `timeoutMs`. The reader's own time does not count. 0: waits for ever.
 */
export async function* unlessStalled(
  source: AsyncIterable<Uint8Array>,
  { timeoutMs, clock, stalled }: { timeoutMs: number; clock: Clock; stalled: () => Error },
): AsyncGenerator<Uint8Array, void, undefined> {
  const iterator = source[Symbol.asyncIterator]();
  let isWaiting = false;
  try {
    for (;;) {
      isWaiting = true;
      const next = iterator.next();
      const chunk =
        timeoutMs > 0 ? await unlessLate(next, { clock, durationMs: timeoutMs }, stalled) : await next;
      isWaiting = false;
      if (chunk.done) return;
      yield chunk.value;
    }
  } finally {
    const ended = Promise.resolve(iterator.return?.()).catch(() => {});
    // If the source hangs in its next(), this would hang too.
    if (!isWaiting) await ended;
  }
}
