import type { BufferPool } from "./buffer-pool.ts";

/**
 * The bytes of a stream of pieces of any size, in whole buffers of `blocks`; the last one may be shorter. The memory of a
 * piece is not used after the next one is asked for. Each block belongs to the reader until it calls `blocks.release`.
 */
export async function* inBlocks(
  source: AsyncIterable<Uint8Array>,
  blocks: BufferPool,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  let block: Uint8Array | undefined;
  let filled = 0;
  try {
    for await (let rest of source) {
      while (rest.length > 0) {
        block ??= await blocks.acquire(signal);
        const part = rest.subarray(0, block.length - filled);
        block.set(part, filled);
        filled += part.length;
        rest = rest.subarray(part.length);
        if (filled < block.length) continue;
        const whole = block;
        [block, filled] = [undefined, 0];
        yield whole;
      }
    }
    if (block && filled > 0) {
      const last = block.subarray(0, filled);
      block = undefined;
      yield last;
    }
  } finally {
    if (block) blocks.release(block);
  }
}
