import { availableParallelism } from "node:os";
import { promisify } from "node:util";
import zlib from "node:zlib";
import { BLOCK_BYTES, KIB } from "../base/limits.ts";
import { BufferPool } from "./buffer-pool.ts";
import { zstdFrames } from "./zstd-frames.ts";

export type CompressionAlgorithm = "zstd" | "gzip" | "none";

/**
 * Blocks processed at the same time: one for every thread of the pool, and one to follow. Limited because each
 * takes memory; eight cores compress faster than PostgreSQL dumps.
 */
const JOBS_AT_ONCE: number = Math.min(availableParallelism(), 8) + 1;

/** Buffers for a dump's blocks: those being processed, one being filled, and one waiting. */
export function blockPool(): BufferPool {
  return new BufferPool(BLOCK_BYTES, JOBS_AT_ONCE + 2);
}

const gzip = promisify(zlib.gzip);

/**
 * Compresses each block separately in the thread pool, several at once, and yields them in order: each is a whole
 * zstd frame or gzip member, and the concatenation is a file that `zstd -d` or `gzip -d` reads. Releases each block
 * to `blocks` when it is done with it, in any case; the reader may keep the results. An empty source gives one
 * empty frame or member, because those tools refuse an empty file.
 */
export async function* compress(
  source: AsyncIterable<Uint8Array>,
  settings: { algorithm: CompressionAlgorithm; level: number },
  blocks: BufferPool,
): AsyncGenerator<Uint8Array, void, undefined> {
  const compressBlock = blockCompressor(settings);
  let isEmpty = true;
  const compressed = inOrder(source, async (block) => {
    isEmpty = false;
    try {
      return await compressBlock(block);
    } finally {
      blocks.release(block);
    }
  });
  yield* compressed;
  if (isEmpty && settings.algorithm !== "none") yield await compressBlock(new Uint8Array());
}

function blockCompressor({ algorithm, level }: { algorithm: CompressionAlgorithm; level: number }) {
  switch (algorithm) {
    case "zstd":
      return (block: Uint8Array): Promise<Uint8Array> => Bun.zstdCompress(block, { level });
    case "gzip":
      return (block: Uint8Array): Promise<Uint8Array> => gzip(block, { level });
    case "none":
      return async (block: Uint8Array): Promise<Uint8Array> => block.slice();
  }
}

/**
 * The reverse of `compress`. Damage throws the decompressor's own error; a stream that ends inside a frame or
 * member throws too.
 */
export function decompress(
  source: AsyncIterable<Uint8Array>,
  algorithm: CompressionAlgorithm,
): AsyncIterable<Uint8Array> {
  switch (algorithm) {
    case "zstd":
      return inOrder(zstdFrames(source), (frame) => Bun.zstdDecompress(frame));
    case "gzip":
      return gunzip(source);
    case "none":
      return source;
  }
}

/** Applies `work` to several items at once and yields the results in the items' order. */
async function* inOrder(
  source: AsyncIterable<Uint8Array>,
  work: (item: Uint8Array) => Promise<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const underWay: Promise<Uint8Array>[] = [];
  try {
    for await (const item of source) {
      const job = work(item);
      // A rejection is thrown where the job is awaited; until then it must not count as unhandled.
      job.catch(() => {});
      underWay.push(job);
      if (underWay.length >= JOBS_AT_ONCE) yield await (underWay.shift() as Promise<Uint8Array>);
    }
    while (underWay.length > 0) yield await (underWay.shift() as Promise<Uint8Array>);
  } finally {
    await Promise.allSettled(underWay);
  }
}

async function* gunzip(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  const stream = zlib.createGunzip({ chunkSize: 256 * KIB });
  const feeding = feedDecompressor(source, stream);
  feeding.catch(() => {});
  try {
    for await (const chunk of stream) yield chunk;
    await feeding;
  } finally {
    stream.destroy();
    // When this returns the source is closed, as with any generator.
    await feeding.catch(() => {});
  }
}

async function feedDecompressor(source: AsyncIterable<Uint8Array>, stream: zlib.Gunzip) {
  try {
    for await (const chunk of source) {
      if (stream.destroyed) return;
      if (!stream.write(chunk)) await drained(stream);
    }
    stream.end();
  } catch (error) {
    stream.destroy(error as Error);
    throw error;
  }
}

/** A destroyed stream never drains: `close` ends the wait. */
function drained(stream: zlib.Gunzip): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      stream.off("drain", done).off("close", done);
      resolve();
    };
    stream.on("drain", done).on("close", done);
  });
}
