import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { bytesOf, cut, freeBuffers, streamOf } from "../../test/lab/data/streams.ts";
import { BLOCK_BYTES } from "../base/limits.ts";
import { BufferPool } from "./buffer-pool.ts";
import type { CompressionAlgorithm } from "./compression.ts";
import { blockPool, compress, decompress } from "./compression.ts";

const BLOCK = 1024;
const CAPACITY = 16;
const TOOLS = { zstd: "zstd", gzip: "gzip" } as const;
const SETTINGS = [
  { algorithm: "zstd", level: 3 },
  { algorithm: "gzip", level: 6 },
  { algorithm: "none", level: 0 },
] as const;
const COMPRESSED = ["zstd", "gzip"] as const;

/** `bytes` as from a child's stdout: in whole blocks from the pool. */
async function* blocksOf(bytes: Uint8Array, pool: BufferPool): AsyncGenerator<Uint8Array, void, undefined> {
  for (const piece of cut(bytes, pool.bufferBytes)) {
    const buffer = await pool.acquire();
    buffer.set(piece);
    yield buffer.subarray(0, piece.length);
  }
}

async function compressed(bytes: Uint8Array, algorithm: CompressionAlgorithm, level = 3): Promise<Buffer> {
  const pool = new BufferPool(BLOCK, CAPACITY);
  const result = await bytesOf(compress(blocksOf(bytes, pool), { algorithm, level }, pool));
  expect(await freeBuffers(pool, CAPACITY)).toBe(CAPACITY);
  return result;
}

function pipeThrough(program: string, args: string[], input: Uint8Array): Buffer {
  const child = Bun.spawnSync([program, ...args], { stdin: input, stderr: "pipe" });
  if (child.exitCode !== 0) throw new Error(child.stderr.toString());
  return child.stdout;
}

/** Bytes that compress a little. */
function sample(bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, at) => (at * at + (at >> 5)) & 0x3f);
}

describe.each([...SETTINGS])("$algorithm", ({ algorithm, level }) => {
  test.each([0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK, 40 * BLOCK + 7])(
    "%d bytes and back",
    async (size) => {
      const plain = sample(size);
      const packed = await compressed(plain, algorithm, level);
      expect(await bytesOf(decompress(streamOf(packed), algorithm))).toEqual(Buffer.from(plain));
      expect(await bytesOf(decompress(streamOf(...cut(packed, 7)), algorithm))).toEqual(Buffer.from(plain));
    },
  );

  test("any bytes in any chunks", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 5 * BLOCK }),
        fc.integer({ min: 1, max: 3000 }),
        async (plain, size) => {
          const packed = await compressed(plain, algorithm, level);
          expect(await bytesOf(decompress(streamOf(...cut(packed, size)), algorithm))).toEqual(
            Buffer.from(plain),
          );
        },
      ),
      { numRuns: 50 },
    );
  });

  test("blocks of a dump's size, in order", async () => {
    const pool = blockPool();
    const plain = Buffer.alloc(5 * BLOCK_BYTES + 3);
    for (let at = 0; at < plain.length; at += 64) plain.writeUInt32LE(at, Math.min(at, plain.length - 4));
    const packed = compress(blocksOf(plain, pool), { algorithm, level }, pool);
    expect((await bytesOf(decompress(packed, algorithm))).equals(plain)).toBe(true);
  });

  test("an error of the source is thrown after everything is cleaned up", async () => {
    const pool = new BufferPool(BLOCK, CAPACITY);
    async function* source() {
      yield* blocksOf(sample(10 * BLOCK), pool);
      throw new Error("the source");
    }
    await expect(bytesOf(compress(source(), { algorithm, level }, pool))).rejects.toThrow("the source");
    expect(await freeBuffers(pool, CAPACITY)).toBe(CAPACITY);

    async function* broken() {
      yield (await compressed(sample(10 * BLOCK), algorithm)).subarray(0, 900);
      throw new Error("the storage");
    }
    await expect(bytesOf(decompress(broken(), algorithm))).rejects.toThrow("the storage");
  });

  test("if the reader leaves early the source is closed and every block released", async () => {
    const pool = new BufferPool(BLOCK, CAPACITY);
    let closed = 0;
    async function* closing(source: AsyncIterable<Uint8Array>) {
      try {
        yield* source;
      } finally {
        closed++;
      }
    }
    const source = closing(blocksOf(sample(100 * BLOCK), pool));
    for await (const _ of compress(source, { algorithm, level }, pool)) break;
    expect(closed).toBe(1);
    expect(await freeBuffers(pool, CAPACITY)).toBe(CAPACITY);

    const packed = await compressed(sample(4000 * BLOCK), algorithm);
    for await (const _ of decompress(closing(streamOf(...cut(packed, 1000))), algorithm)) break;
    expect(closed).toBe(2);
  });
});

describe.each([...COMPRESSED])("%s", (algorithm) => {
  test("the stock program reads our files and we read its", async () => {
    for (const size of [0, 1, 10 * BLOCK + 1]) {
      const plain = sample(size);
      expect(pipeThrough(TOOLS[algorithm], ["-dc"], await compressed(plain, algorithm))).toEqual(
        Buffer.from(plain),
      );
      const theirs = pipeThrough(TOOLS[algorithm], ["-c"], plain);
      expect(await bytesOf(decompress(streamOf(...cut(theirs, 11)), algorithm))).toEqual(Buffer.from(plain));
    }
  });

  test("the error of a block that cannot be compressed is thrown, none is unhandled, and every block is released", async () => {
    const pool = new BufferPool(BLOCK, CAPACITY);
    async function* slow() {
      for await (const block of blocksOf(sample(9 * BLOCK), pool)) {
        yield block;
        await Bun.sleep(1);
      }
    }
    const packed = compress(slow(), { algorithm, level: 99 }, pool);
    await expect(bytesOf(packed)).rejects.toThrow(/level/);
    expect(await freeBuffers(pool, CAPACITY)).toBe(CAPACITY);
  });

  test("truncated anywhere except between two frames it throws", async () => {
    const packed = await compressed(sample(3 * 100), algorithm);
    for (let length = 0; length < packed.length; length++) {
      await expect(bytesOf(decompress(streamOf(packed.subarray(0, length)), algorithm))).rejects.toThrow();
      await expect(
        bytesOf(decompress(streamOf(...cut(packed.subarray(0, length), 3)), algorithm)),
      ).rejects.toThrow();
    }
    const two = Buffer.concat([packed, packed]);
    for (let length = packed.length + 1; length < two.length; length++) {
      await expect(bytesOf(decompress(streamOf(two.subarray(0, length)), algorithm))).rejects.toThrow();
    }
  });

  test("bytes after the last frame throw, however the chunks are cut", async () => {
    const packed = await compressed(sample(300), algorithm);
    for (const garbage of [
      "garbage after the end of it",
      "\x1f",
      "\x28",
      "\x1f\x8b\x08",
      "\x28\xb5\x2f\xfd",
    ]) {
      const bytes = Buffer.concat([packed, Buffer.from(garbage, "latin1")]);
      for (const chunks of [[bytes], [packed, bytes.subarray(packed.length)], cut(bytes, 5)]) {
        await expect(bytesOf(decompress(streamOf(...chunks), algorithm))).rejects.toThrow();
      }
    }
  });

  test("frames may be cut in two chunks at any byte", async () => {
    const plain = sample(3 * BLOCK);
    const packed = await compressed(plain, algorithm);
    for (let at = 0; at <= packed.length; at++) {
      const chunks = streamOf(packed.subarray(0, at), packed.subarray(at));
      expect((await bytesOf(decompress(chunks, algorithm))).equals(plain)).toBe(true);
    }
  });

  test("slow and quick blocks keep their order", async () => {
    const pool = new BufferPool(256 * 1024, CAPACITY);
    const plain = Buffer.concat(
      Array.from({ length: 12 }, (_, at) =>
        at % 2 === 0 ? Buffer.alloc(256 * 1024, at) : crypto.getRandomValues(new Uint8Array(256 * 1024)),
      ).flatMap((bytes) => cut(bytes, 65536)),
    );
    const packed = compress(blocksOf(plain, pool), { algorithm, level: 9 }, pool);
    expect((await bytesOf(decompress(packed, algorithm))).equals(plain)).toBe(true);
  });
});

test("a frame that announces more than we write is refused before it fills memory", async () => {
  let taken = 0;
  async function* endless() {
    // A frame header, then raw blocks of 128 KiB of which none is marked as the last.
    yield Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58);
    for (;;) {
      const block = new Uint8Array(3 + 131072);
      block.set([0x00, 0x00, 0x10]);
      taken += block.length;
      yield block;
    }
  }
  await expect(bytesOf(decompress(endless(), "zstd"))).rejects.toThrow("larger than pg321 writes");
  expect(taken).toBeLessThan(20 * 1024 * 1024);
});

test("bytes that are not a frame are refused", async () => {
  await expect(bytesOf(decompress(streamOf(Buffer.from("PGDMP plain")), "zstd"))).rejects.toThrow(
    "not a frame",
  );
});
