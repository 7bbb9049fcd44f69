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

function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal, onLate: (value: T) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    let isAborted = false;
    const onAbort = () => {
      isAborted = true;
      reject(signal.reason);
    };
    // The pull itself may have caused the abort.
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    promise.then(
      (value) => {
        signal.removeEventListener("abort", onAbort);
        if (isAborted) onLate(value);
        else resolve(value);
      },
      (error) => {
        signal.removeEventListener("abort", onAbort);
        reject(error);
      },
    );
  });
}
