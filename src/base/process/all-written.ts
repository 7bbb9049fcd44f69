import { setTimeout } from "node:timers/promises";

/** After a signal, for a reader that still reads. */
const AFTER_SIGNAL_MS = 1_000;

/**
 * Ends a stream and waits until a slow reader of its pipe has everything: an exit before would cut it off, after 64 KiB. (The
 * callback of an empty write comes too early.) Errors are for the stream's listener. False if a signal ends the wait.
 */
export async function allWritten(stream: NodeJS.WriteStream, signal: AbortSignal): Promise<boolean> {
  const settled = new AbortController();
  const written = new Promise<boolean>((resolve) => stream.end(() => resolve(true)));
  const stopped = async () => {
    if (signal.aborted) await setTimeout(AFTER_SIGNAL_MS, undefined, { signal: settled.signal, ref: false });
    else
      await new Promise((resolve) =>
        signal.addEventListener("abort", resolve, { once: true, signal: settled.signal }),
      );
    return false;
  };
  try {
    return await Promise.race([written, stopped().catch(() => true)]);
  } finally {
    settled.abort();
  }
}
