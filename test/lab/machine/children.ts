import { expect } from "bun:test";
import { existsSync, readdirSync } from "node:fs";
import { BufferPool } from "../../../src/stream/buffer-pool.ts";
import type { ChildOptions } from "../../../src/stream/process.ts";
import { type ChildError, readChild } from "../../../src/stream/process.ts";
import { freeBuffers } from "../data/streams.ts";

export const ENV = { PATH: "/usr/local/bin:/usr/bin:/bin" };
export const CAPACITY = 3;

export function sh(script: string, options: Partial<ChildOptions> = {}): ChildOptions {
  return { argv: ["sh", "-c", script], env: ENV, ...options };
}

/** Reads a child's output to its end; returns the bytes, the error, and whether every buffer was released. */
export async function read(options: ChildOptions, blockBytes = 1024) {
  const pool = new BufferPool(blockBytes, CAPACITY);
  const blocks: Buffer[] = [];
  let exit: { stderrTail: string } | undefined;
  let error: unknown;
  try {
    for await (const block of readChild(options, pool, (result) => {
      exit = result;
    })) {
      blocks.push(Buffer.from(block));
      pool.release(block);
    }
  } catch (thrown) {
    error = thrown;
  }
  expect(await freeBuffers(pool, CAPACITY + 1)).toBe(CAPACITY);
  return { blocks, text: Buffer.concat(blocks).toString(), exit, error: error as ChildError };
}

/** Real time for the child between two steps of a manual clock. */
export const childTime = () => Bun.sleep(1);

/** A child that prints its process id in 8 bytes, then runs the script. */
export const printPid = "printf '%07d\\n' $$;";

export async function firstBlock(
  source: AsyncGenerator<Uint8Array>,
): Promise<{ pid: number; block: Uint8Array }> {
  const { value } = await source.next();
  const block = value as Uint8Array;
  return { pid: Number(Buffer.from(block).toString()), block };
}

export const openFds = () => readdirSync("/proc/self/fd").length;
export const isGone = (pid: number) => !existsSync(`/proc/${pid}`);

export async function waitUntil(condition: () => boolean): Promise<void> {
  while (!condition()) await Bun.sleep(1);
}
