import type { BufferPool } from "./buffer-pool.ts";
import { Part } from "./part.ts";

/**
 * Cuts a stream into parts of the pool's size, the last one shorter, copying each byte once into a reused buffer.
 * `holders` is called when a part is ready and returns how many holders must release it; if none, the part is
 * dropped and not yielded.
 */
export async function* parts(
  source: AsyncIterable<Uint8Array>,
  pool: BufferPool,
  holders: () => number,
  signal?: AbortSignal,
): AsyncGenerator<Part, void, undefined> {
  let buffer: Uint8Array | undefined;
  let filled = 0;
  let offset = 0;
  const take = (): Part | undefined => {
    const full = buffer as Uint8Array;
    buffer = undefined;
    const count = holders();
    if (count === 0) pool.release(full);
    const part =
      count === 0 ? undefined : new Part(full.subarray(0, filled), offset, count, () => pool.release(full));
    offset += filled;
    filled = 0;
    return part;
  };
  try {
    for await (const chunk of source) {
      for (let at = 0; at < chunk.length; ) {
        buffer ??= await pool.acquire(signal);
        const count = Math.min(chunk.length - at, buffer.length - filled);
        buffer.set(chunk.subarray(at, at + count), filled);
        filled += count;
        at += count;
        if (filled < buffer.length) continue;
        const part = take();
        if (part) yield part;
      }
    }
    const last = filled > 0 ? take() : undefined;
    if (last) yield last;
  } finally {
    if (buffer) pool.release(buffer);
  }
}
