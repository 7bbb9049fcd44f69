import { expect, test } from "bun:test";
import { inBlocks } from "./blocks.ts";
import { BufferPool } from "./buffer-pool.ts";

async function* stream(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces;
}

test("pieces of any size become whole blocks, and the last one is shorter", async () => {
  const pool = new BufferPool(4, 1);
  const read: string[] = [];
  const pieces = ["", "a", "bcdefghij", "k", "lm"].map((text) => Buffer.from(text));
  for await (const block of inBlocks(stream(pieces), pool)) {
    read.push(String(Buffer.from(block)));
    pool.release(block);
  }
  expect(read).toEqual(["abcd", "efgh", "ijkl", "m"]);
});

test("a block that is not handed over goes back to the pool", async () => {
  const pool = new BufferPool(4, 1);
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield Buffer.from("ab");
    throw new Error("gone");
  }
  await expect(Array.fromAsync(inBlocks(failing(), pool))).rejects.toThrow("gone");
  pool.release(await pool.acquire());
});
