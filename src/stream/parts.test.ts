import { expect, test } from "bun:test";
import fc from "fast-check";
import { bytesOf, freeBuffers, streamOf } from "../../test/lab/data/streams.ts";
import { BufferPool } from "./buffer-pool.ts";
import { Part, partsOf } from "./part.ts";
import { PartQueue } from "./part-queue.ts";
import { parts } from "./parts.ts";

const CAPACITY = 2;

test("cuts any chunks into parts of one size, the last one shorter, and loses no byte", async () => {
  const chunks = fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 20 });
  await fc.assert(
    fc.asyncProperty(chunks, fc.integer({ min: 1, max: 40 }), async (source, partBytes) => {
      const pool = new BufferPool(partBytes, CAPACITY);
      const whole = Buffer.concat(source);
      const sizes: number[] = [];
      const seen: Buffer[] = [];
      for await (const part of parts(streamOf(...source), pool, () => 1)) {
        expect(part.offset).toBe(sizes.length * partBytes);
        sizes.push(part.bytes.length);
        seen.push(Buffer.from(part.bytes));
        part.release();
      }
      expect(Buffer.concat(seen)).toEqual(whole);
      expect(sizes.slice(0, -1).every((size) => size === partBytes)).toBe(true);
      expect(sizes.at(-1) ?? 1).toBeGreaterThan(0);
      expect(await freeBuffers(pool, CAPACITY + 1)).toBe(CAPACITY);
    }),
  );
});

test("a buffer is free once its last holder releases it", async () => {
  const pool = new BufferPool(4, 1);
  for await (const part of parts(streamOf(new Uint8Array(4)), pool, () => 3)) {
    for (const free of [0, 0, 1]) {
      part.release();
      expect(await freeBuffers(pool, 1)).toBe(free);
    }
  }
});

test("parts without holders are skipped; offsets count them", async () => {
  const pool = new BufferPool(4, 1);
  const holders = [0, 1, 0];
  const offsets: number[] = [];
  for await (const part of parts(streamOf(new Uint8Array(10)), pool, () => holders.shift() ?? 0)) {
    offsets.push(part.offset);
    part.release();
  }
  expect(offsets).toEqual([4]);
  expect(await freeBuffers(pool, 2)).toBe(1);
});

test("releases the current buffer if the source throws, the reader leaves, or a wait is aborted", async () => {
  const pool = new BufferPool(4, CAPACITY);
  async function* broken() {
    yield new Uint8Array(6);
    throw new Error("the source");
  }
  const reading = async () => {
    for await (const part of parts(broken(), pool, () => 1)) part.release();
  };
  await expect(reading()).rejects.toThrow("the source");
  expect(await freeBuffers(pool, CAPACITY)).toBe(CAPACITY);

  for await (const part of parts(streamOf(new Uint8Array(100)), pool, () => 1)) {
    part.release();
    break;
  }
  expect(await freeBuffers(pool, CAPACITY)).toBe(CAPACITY);

  const abort = new AbortController();
  const taken: Part[] = [];
  const waiting = async () => {
    for await (const part of parts(streamOf(new Uint8Array(100)), pool, () => 1, abort.signal)) {
      taken.push(part);
      if (taken.length === CAPACITY) queueMicrotask(() => abort.abort(new Error("enough")));
    }
  };
  await expect(waiting()).rejects.toThrow("enough");
  for (const part of taken) part.release();
  expect(await freeBuffers(pool, CAPACITY)).toBe(CAPACITY);
});

test("the MD5 of a part is in S3's form", () => {
  expect(new Part(Buffer.from("abc"), 0, 1).md5()).toBe("kAFQmDzST7DWlj99KOF/cg==");
});

test("a small object is one part", async () => {
  const sizes: number[] = [];
  for await (const part of partsOf(new Uint8Array(3))) sizes.push(part.bytes.length);
  expect(sizes).toEqual([3]);
});

/** Parts whose releases are counted. */
function countedParts(count: number) {
  let released = 0;
  const made = Array.from(
    { length: count },
    (_, at) =>
      new Part(Uint8Array.of(at), at, 1, () => {
        released++;
      }),
  );
  return { made, released: () => released };
}

test("a queue delivers its parts in order, also to a reader that came first, then ends", async () => {
  const { made, released } = countedParts(3);
  const queue = new PartQueue();
  const reading = bytesOf(
    (async function* () {
      for await (const part of queue) {
        yield part.bytes;
        part.release();
      }
    })(),
  );
  queue.push(made[0] as Part);
  await Promise.resolve();
  queue.push(made[1] as Part);
  queue.push(made[2] as Part);
  expect(queue.isRead).toBe(false);
  queue.end();
  expect([...(await reading)]).toEqual([0, 1, 2]);
  expect(queue.isRead).toBe(true);
  expect(released()).toBe(3);
});

test("a queue that fails wakes its reader and releases waiting and later parts, also after its end", async () => {
  for (const endFirst of [false, true]) {
    const { made, released } = countedParts(3);
    const queue = new PartQueue();
    const reader = queue[Symbol.asyncIterator]();
    queue.push(made[0] as Part);
    const first = (await reader.next()).value as Part;
    queue.push(made[1] as Part);
    if (endFirst) queue.end();
    queue.fail(new Error("dropped"));
    queue.push(made[2] as Part);
    expect(released()).toBe(2);
    first.release();
    await expect(reader.next()).rejects.toThrow("dropped");
    expect(queue.isRead).toBe(false);
  }
  const queue = new PartQueue();
  const waiting = queue[Symbol.asyncIterator]().next();
  queue.fail(new Error("dropped"));
  await expect(waiting).rejects.toThrow("dropped");
});

test("if the reader leaves its queue no part is left unreleased", async () => {
  const { made, released } = countedParts(3);
  const queue = new PartQueue();
  queue.push(made[0] as Part);
  queue.push(made[1] as Part);
  for await (const part of queue) {
    part.release();
    break;
  }
  queue.push(made[2] as Part);
  expect(released()).toBe(3);
  expect(queue.isRead).toBe(false);
});
