import { setImmediate } from "node:timers/promises";
import type { BufferPool } from "../../../src/stream/buffer-pool.ts";

/** The number of free buffers in a pool, up to `most`; all are free again afterwards. */
export async function freeBuffers(pool: BufferPool, most: number): Promise<number> {
  const enough = new AbortController();
  const taken = Promise.allSettled(Array.from({ length: most }, () => pool.acquire(enough.signal)));
  await setImmediate();
  enough.abort();
  const buffers = (await taken).flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  for (const buffer of buffers) pool.release(buffer);
  return buffers.length;
}

/** All bytes of a stream. */
export async function bytesOf(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk.slice());
  return Buffer.concat(chunks);
}

/** A stream of these chunks, each copied into separate memory. */
export async function* streamOf(...chunks: Uint8Array[]): AsyncGenerator<Uint8Array, void, undefined> {
  for (const chunk of chunks) yield chunk.slice();
}

/** The chunks of `bytes` cut at every `size` bytes. */
export function cut(bytes: Uint8Array, size: number): Uint8Array[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) =>
    bytes.subarray(at * size, (at + 1) * size),
  );
}

/** Runs TypeScript in a separate process, to measure its memory; returns its output, parsed as JSON. */
export async function inOwnProcess<T>(code: string): Promise<T> {
  const child = Bun.spawn([process.execPath, "-e", code], { stdout: "pipe", stderr: "inherit" });
  const text = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new Error(`the measured process failed: ${text}`);
  return JSON.parse(text) as T;
}
