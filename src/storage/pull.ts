import { unlessAborted } from "../base/abort.ts";
import type { Part } from "../stream/part.ts";

/**
 * The parts of `body`, until it ends or `signal` aborts; then it throws the signal's reason at once, even while
 * `body` has nothing to give. The consumer releases each part that it gets; a part that `body` gives after the
 * consumer has left is released here.
 */
export async function* pullParts(body: AsyncIterable<Part>, signal: AbortSignal): AsyncGenerator<Part> {
  const iterator = body[Symbol.asyncIterator]();
  let isOver = false;
  try {
    for (;;) {
      signal.throwIfAborted();
      const pulled = iterator.next();
      // The pull itself may cause the abort.
      const result = await unlessAborted(pulled, signal, (late) => {
        if (!late.done) late.value.release();
      });
      if (result.done) {
        isOver = true;
        return;
      }
      yield result.value;
    }
  } finally {
    // Not awaited: a generator that waits for its source returns only after that.
    if (!isOver) void Promise.resolve(iterator.return?.()).catch(() => {});
  }
}
