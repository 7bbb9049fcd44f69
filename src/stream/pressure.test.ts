/** Properties of the stages together and at full speed: bounded memory, and a responsive event loop. */
import { describe, expect, test } from "bun:test";
import { inOwnProcess } from "../../test/lab/data/streams.ts";
import { systemClock } from "../base/clock.ts";
import { MIB } from "../base/limits.ts";
import type { CompressionAlgorithm } from "./compression.ts";
import { blockPool, compress } from "./compression.ts";
import type { Sink } from "./fan-out.ts";
import { fanOut } from "./fan-out.ts";
import { metered, newMeter } from "./meter.ts";
import { feedChild, readChild } from "./process.ts";

const ENV = { PATH: "/usr/local/bin:/usr/bin:/bin" };
const DUMP_BYTES = 256 * MIB;

/** A sink that takes everything at once. */
function memorySink(name: string): Sink<number> {
  return {
    name,
    minRate: 0,
    stallTimeoutMs: 0,
    store: async (body, _, onProgress) => {
      let bytes = 0;
      for await (const part of body) {
        bytes += part.bytes.length;
        onProgress(part.bytes.length);
        part.release();
      }
      return bytes;
    },
  };
}

/** Number of times that timers fired while `work` ran, and the most bytes that `passed` between two of them. */
async function timersDuring(work: Promise<unknown>, passed: () => number) {
  let fired = 0;
  let before = passed();
  let mostBytes = 0;
  const tick = () => {
    mostBytes = Math.max(mostBytes, passed() - before);
    before = passed();
    fired++;
  };
  const timer = setInterval(tick, 1);
  await work;
  tick();
  clearInterval(timer);
  return { fired, mostBytes };
}

describe("timers keep running at full speed", () => {
  test.each(["none", "zstd", "gzip"] satisfies CompressionAlgorithm[])(
    "compression %s",
    async (algorithm) => {
      const blocks = blockPool();
      const meter = newMeter();
      const dump = readChild({ argv: ["head", "-c", String(DUMP_BYTES), "/dev/zero"], env: ENV }, blocks);
      let bytes = 0;
      async function* watched() {
        for await (const block of dump) {
          bytes += block.length;
          yield block;
        }
      }
      const open = () => metered(compress(watched(), { algorithm, level: 1 }, blocks), meter);
      const storing = fanOut(open, ["a", "b", "c"].map(memorySink), {
        partBytes: 8 * MIB,
        partsAhead: 4,
        maxDurationMs: 0,
        signal: new AbortController().signal,
        clock: systemClock,
      });
      const { mostBytes } = await timersDuring(storing, () => bytes);
      expect(bytes).toBe(DUMP_BYTES);
      expect(mostBytes).toBeLessThan(64 * MIB);
    },
  );

  test("a source in memory that is only hashed", async () => {
    const meter = newMeter();
    const chunk = new Uint8Array(4 * MIB);
    async function* source() {
      for (let at = 0; at < 64; at++) yield chunk;
    }
    const reading = (async () => {
      for await (const _ of metered(source(), meter));
    })();
    const { mostBytes } = await timersDuring(reading, () => meter.bytes);
    expect(mostBytes).toBeLessThan(64 * MIB);
  });

  test("a child that reads as fast as we write", async () => {
    let bytes = 0;
    const chunk = new Uint8Array(MIB / 4);
    async function* source() {
      for (; bytes < DUMP_BYTES; bytes += chunk.length) yield chunk;
    }
    const feeding = feedChild({ argv: ["sh", "-c", "cat >/dev/null"], env: ENV }, source());
    const { mostBytes } = await timersDuring(feeding, () => bytes);
    expect(mostBytes).toBeLessThan(64 * MIB);
  });
});

describe("memory is bounded", () => {
  const imports = `
    import { existsSync } from "node:fs";
    import { BufferPool } from ${JSON.stringify(`${import.meta.dir}/buffer-pool.ts`)};
    import { readChild, feedChild } from ${JSON.stringify(`${import.meta.dir}/process.ts`)};
    const env = ${JSON.stringify(ENV)};
    let peak = 0;
    const before = process.memoryUsage.rss();
    const timer = setInterval(() => { peak = Math.max(peak, process.memoryUsage.rss()); }, 5);
    const report = (more) => { clearInterval(timer); console.log(JSON.stringify({ growth: peak - before, ...more })); };
  `;

  test("a stalled reader of a child's stdout", async () => {
    const { growth } = await inOwnProcess<{ growth: number }>(`${imports}
      const pool = new BufferPool(1 << 20, 4);
      const source = readChild({ argv: ["head", "-c", "2G", "/dev/zero"], env }, pool);
      pool.release((await source.next()).value);
      await Bun.sleep(700); // Enough time for memory to grow if it did.
      await source.return();
      report();`);
    expect(growth).toBeLessThan(48 * MIB);
  });

  test("a slow reader of a child's stdin", async () => {
    const { growth, ahead } = await inOwnProcess<{ growth: number; ahead: number }>(`${imports}
      let fed = 0, ahead = 0;
      async function* source() {
        for (; fed < 512; fed++) yield new Uint8Array(1 << 20).fill(fed);
      }
      const watch = setTimeout(() => { ahead = fed; }, 500);
      await feedChild({ argv: ["sh", "-c", "sleep 0.7; cat >/dev/null"], env }, source());
      report({ ahead });`);
    expect(ahead).toBeLessThan(8);
    expect(growth).toBeLessThan(100 * MIB);
  });

  test("a flood on stderr", async () => {
    const { growth, tail, exitCode } = await inOwnProcess<{
      growth: number;
      tail: string;
      exitCode: number;
    }>(`${imports}
      const flood = "head -c 104857600 /dev/zero | tr '\\\\0' x >&2; echo the last line >&2; exit 3";
      try {
        for await (const _ of readChild({ argv: ["sh", "-c", flood], env }));
      } catch (error) {
        report({ tail: error.stderrTail, exitCode: error.exitCode });
      }`);
    expect(exitCode).toBe(3);
    expect(tail).toEndWith("xxxthe last line");
    expect(tail.length).toBeLessThanOrEqual(4096);
    expect(growth).toBeLessThan(80 * MIB);
  });
});
