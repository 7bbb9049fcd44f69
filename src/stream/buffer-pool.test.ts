import { expect, test } from "bun:test";
import { freeBuffers } from "../../test/lab/data/streams.ts";
import { BufferPool } from "./buffer-pool.ts";

test("creates no more buffers than its capacity and reuses them", async () => {
  const pool = new BufferPool(8, 2);
  const memories = new Set<ArrayBufferLike>();
  for (let round = 0; round < 10; round++) {
    const pair = [await pool.acquire(), await pool.acquire()];
    for (const buffer of pair) memories.add(buffer.buffer);
    for (const buffer of pair) pool.release(buffer.subarray(1, 3));
  }
  expect(memories.size).toBe(2);
});

test("takes back the whole buffer however short the view was", async () => {
  const pool = new BufferPool(8, 1);
  pool.release((await pool.acquire()).subarray(5, 5));
  expect((await pool.acquire()).length).toBe(8);
});

test("waiting callers are served in order", async () => {
  const pool = new BufferPool(8, 1);
  const buffer = await pool.acquire();
  const served: number[] = [];
  const waiting = [1, 2, 3].map(async (name) => {
    const mine = await pool.acquire();
    served.push(name);
    pool.release(mine);
  });
  pool.release(buffer);
  await Promise.all(waiting);
  expect(served).toEqual([1, 2, 3]);
});

test("an abort ends the wait with its reason and loses no buffer", async () => {
  const pool = new BufferPool(8, 1);
  const buffer = await pool.acquire();
  const abort = new AbortController();
  const waiting = pool.acquire(abort.signal);
  const patient = pool.acquire();
  abort.abort(new Error("enough"));
  await expect(waiting).rejects.toThrow("enough");
  await expect(pool.acquire(abort.signal)).rejects.toThrow("enough");
  pool.release(buffer);
  pool.release(await patient);
  expect(await freeBuffers(pool, 2)).toBe(1);
});

test("a buffer that is not in use cannot be released: two holders would write into the same memory", async () => {
  const pool = new BufferPool(8, 2);
  const buffer = await pool.acquire();
  pool.release(buffer);
  expect(() => pool.release(buffer)).toThrow("not in use");
  expect(() => pool.release(new Uint8Array(8))).toThrow("not in use");
  expect(await freeBuffers(pool, 3)).toBe(2);
});
