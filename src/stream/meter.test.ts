import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { bytesOf, streamOf } from "../../test/lab/data/streams.ts";
import { MIB } from "../base/limits.ts";
import { metered, newMeter, observed } from "./meter.ts";

test("passes on every byte, and has their number and hash at the end", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 40 })), async (chunks) => {
      const meter = newMeter();
      const whole = Buffer.concat(chunks);
      expect(await bytesOf(metered(streamOf(...chunks), meter))).toEqual(whole);
      expect(meter).toEqual({
        bytes: whole.length,
        sha256: createHash("sha256").update(whole).digest("hex"),
      });
    }),
  );
});

test("chunks of about and above the size hashed at once", async () => {
  for (const size of [MIB - 1, MIB, MIB + 1, 3 * MIB + 5]) {
    const whole = Buffer.alloc(size, "pg321");
    const meter = newMeter();
    await bytesOf(metered(streamOf(whole, whole), meter));
    const sha256 = createHash("sha256").update(whole).update(whole).digest("hex");
    expect(meter).toEqual({ bytes: 2 * size, sha256 });
  }
});

test("a stream that threw or was left early has no hash", async () => {
  async function* broken() {
    yield new Uint8Array(3);
    throw new Error("the source");
  }
  const failed = newMeter();
  await expect(bytesOf(metered(broken(), failed))).rejects.toThrow("the source");
  expect(failed).toEqual({ bytes: 3, sha256: undefined });
  const left = newMeter();
  for await (const _ of metered(streamOf(new Uint8Array(3), new Uint8Array(3)), left)) break;
  expect(left.sha256).toBeUndefined();
});

test("observed reports each chunk's bytes", async () => {
  const told: number[] = [];
  const chunks = streamOf(new Uint8Array(3), new Uint8Array(), new Uint8Array(5));
  expect((await bytesOf(observed(chunks, (bytes) => told.push(bytes)))).length).toBe(8);
  expect(told).toEqual([3, 0, 5]);
});
