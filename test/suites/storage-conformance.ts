import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Pg321Error } from "../../src/base/errors.ts";
import type { PutOptions, Storage } from "../../src/storage/storage.ts";
import { bytesOf } from "../lab/data/streams.ts";
import { CountedParts, patterned } from "./parts.ts";
import { keysOf, listing } from "./storage-listing.ts";

/** One driver under test, with its own place that is empty at first. */
export interface StorageUnderTest {
  storage: Storage;
  partBytes: number;
  /** Everything there besides objects: temporary files, open multipart uploads. */
  dangling(): Promise<string[]>;
  /** Leaves the remains of a process that died in the middle of a put of this key; returns the upload id, if any. */
  crashDuringPut(key: string): Promise<string | undefined>;
  /** Stores a small object quickly, without the storage under test. */
  seed(key: string, bytes: Uint8Array): Promise<unknown>;
  close(): Promise<void>;
}

const never = new AbortController().signal;

async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => expect.unreachable("it should have been rejected"),
    (error) => error,
  );
}

function expectStorageError(error: unknown, storage: Storage): void {
  expect(error).toBeInstanceOf(Pg321Error);
  expect(error).toMatchObject({ code: "storage" });
  expect((error as Error).message).toStartWith(`storage "${storage.name}": `);
}

/** Tests the contract of `src/storage/storage.ts`, for every driver. */
export function storageConformance(driver: string, open: () => Promise<StorageUnderTest>): void {
  describe(`storage contract: ${driver}`, () => {
    let under: StorageUnderTest;
    let storage: Storage;
    let partBytes: number;
    beforeAll(async () => {
      under = await open();
      ({ storage, partBytes } = under);
    });
    afterAll(() => under?.close());

    const put = async (key: string, bytes: Uint8Array, options: Partial<PutOptions> = {}) => {
      const parts = new CountedParts();
      const body = parts.of(bytes, partBytes);
      try {
        return await storage.put(key, body, { signal: never, partBytes, ...options });
      } finally {
        parts.expectAllReleasedOnce();
      }
    };
    const expectNothingOf = async (key: string) => {
      expect(await storage.head(key, never)).toBeUndefined();
      expect(await keysOf(storage.list(key, never))).toEqual([]);
      expect(await under.dangling()).toEqual([]);
    };

    describe("put, head and get", () => {
      test.each([
        ["nothing", () => 0],
        ["one byte", () => 1],
        ["a part less one byte", () => partBytes - 1],
        ["a part", () => partBytes],
        ["a part and one byte", () => partBytes + 1],
        ["three parts", () => 3 * partBytes],
        ["many parts", () => 7 * partBytes + 4711],
      ])("%s", async (name, size) => {
        const key = `sizes/${name}.bin`;
        const bytes = patterned(size());
        let progressBytes = 0;
        const stored = await put(key, bytes, { onProgress: (count) => (progressBytes += count) });
        expect(stored).toMatchObject({ key, sizeBytes: bytes.length });
        expect(progressBytes).toBe(bytes.length);
        expect(await storage.head(key, never)).toMatchObject({ key, sizeBytes: bytes.length });
        expect(Buffer.compare(await bytesOf(storage.get(key, undefined, never)), bytes)).toBe(0);
        expect(await under.dangling()).toEqual([]);
      });

      test("ranges, also across parts and beyond the end", async () => {
        const bytes = patterned(2 * partBytes + 10, 2);
        await put("ranges.bin", bytes);
        for (const [start, length] of [
          [0, 1],
          [partBytes - 3, 7],
          [5, undefined],
          [bytes.length - 4, undefined],
          [bytes.length - 4, 100],
          [bytes.length, undefined],
          [bytes.length + 10, 5],
          [3, 0],
        ] as const) {
          const range = { start, ...(length === undefined ? {} : { length }) };
          const expected = bytes.subarray(start, length === undefined ? undefined : start + length);
          const got = await bytesOf(storage.get("ranges.bin", range, never));
          expect(Buffer.compare(got, expected)).toBe(0);
        }
      });

      test("a reader may stop early", async () => {
        await put("early.bin", patterned(3 * partBytes));
        for await (const chunk of storage.get("early.bin", undefined, never)) {
          expect(chunk.length).toBeGreaterThan(0);
          break;
        }
      });

      test("a missing object", async () => {
        expect(await storage.head("missing/one", never)).toBeUndefined();
        const error = await failureOf(bytesOf(storage.get("missing/one", undefined, never)));
        expectStorageError(error, storage);
        expect(error).toMatchObject({ retryable: false });
      });

      test("the time is the server's, about now", async () => {
        const { modifiedAt } = await put("time", patterned(5));
        expect(Math.abs(modifiedAt.getTime() - Date.now())).toBeLessThan(120_000);
      });
    });

    describe("names", () => {
      const odd = [
        "odd/per%20cent %2F 100%",
        "odd/space and  two",
        "odd/plus+and&amp;=?#;:@,$!'()*~[]{}|\\^`\"<>",
        "odd/ünïcödé-日本語-😀",
        "odd/UPPER and lower",
        "odd/.hidden",
        "odd/...",
        `odd/${"x".repeat(255)}`,
      ];
      test("that look odd are kept exactly", async () => {
        for (const key of odd) await put(key, new TextEncoder().encode(key));
        for (const key of odd) {
          const got = new TextDecoder().decode(await bytesOf(storage.get(key, undefined, never)));
          expect(got).toBe(key);
        }
        const byBytes = odd.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
        expect(await keysOf(storage.list("odd/", never))).toEqual(byBytes);
        for (const key of odd) await storage.remove(key, never);
        expect(await keysOf(storage.list("odd/", never))).toEqual([]);
      });

      test.each([
        ["an empty one", ""],
        ["an absolute one", "/etc/passwd"],
        ["one that climbs out", "../outside"],
        ["one that climbs out later", "a/../../outside"],
        ["one with a dot", "a/./b"],
        ["one with an empty component", "a//b"],
        ["one that ends in a slash", "a/"],
        ["one with NUL", "nul\0byte"],
        ["one with a line feed", "line\nfeed"],
        ["one with a component that is too long", `a/${"y".repeat(256)}`],
        ["one that is too long", "z/".repeat(600)],
        ["one that is reserved for temporary files", "a/.pg321-0123456789abcdef.tmp"],
      ])("that not every storage can hold are refused: %s", async (_, key) => {
        const parts = new CountedParts();
        const body = parts.of(patterned(1), partBytes);
        expectStorageError(await failureOf(storage.put(key, body, { signal: never, partBytes })), storage);
        expect(parts.pulled).toBe(0);
        expectStorageError(await failureOf(bytesOf(storage.get(key, undefined, never))), storage);
        expectStorageError(await failureOf((async () => storage.head(key, never))()), storage);
        expectStorageError(await failureOf((async () => storage.remove(key, never))()), storage);
        expectStorageError(await failureOf((async () => storage.discard(key, undefined, never))()), storage);
      });
    });

    describe("nothing is overwritten", () => {
      test.each([
        ["a small object", () => 10],
        ["an object of many parts", () => 2 * partBytes + 1],
      ])("%s", async (name, size) => {
        const key = `once/${name}`;
        const original = patterned(size(), 3);
        await put(key, original);
        for (const otherSize of [10, 2 * partBytes + 1]) {
          expectStorageError(await failureOf(put(key, patterned(otherSize, 4))), storage);
        }
        expect(Buffer.compare(await bytesOf(storage.get(key, undefined, never)), original)).toBe(0);
        expect(await under.dangling()).toEqual([]);
      });

      test("an object that appears while another put of its key is under way", async () => {
        const key = "once/raced";
        const late = new CountedParts();
        const body = late.of(patterned(2 * partBytes, 5), partBytes, async (offset) => {
          // After the driver's first check; of a local storage it is the second put that is refused.
          if (offset === partBytes) await put(key, patterned(100, 6)).catch(() => {});
        });
        const outcome = await storage.put(key, body, { signal: never, partBytes }).catch((error) => error);
        const wins = outcome instanceof Error ? patterned(100, 6) : patterned(2 * partBytes, 5);
        expect(Buffer.compare(await bytesOf(storage.get(key, undefined, never)), wins)).toBe(0);
        late.expectAllReleasedOnce();
        expect(await under.dangling()).toEqual([]);
      });
    });

    describe("a put that fails", () => {
      class SourceError extends Error {}
      const failing = async (key: string, sizeBytes: number, failAt: number) => {
        const parts = new CountedParts();
        const body = parts.of(patterned(sizeBytes), partBytes, (offset) => {
          if (offset >= failAt) throw new SourceError("the source broke");
        });
        const error = await failureOf(storage.put(key, body, { signal: never, partBytes }));
        expect(error).toBeInstanceOf(SourceError);
        parts.expectAllReleasedOnce();
        await expectNothingOf(key);
      };

      test("because its source throws at once", () => failing("broken/at-once", 10, 0));
      test("because the source throws after a short part", () => failing("broken/short", 10, 10));
      test("because the source throws in the middle", () =>
        failing("broken/middle", 5 * partBytes, 3 * partBytes));
      test("because the source throws after its last part", () =>
        failing("broken/end", 3 * partBytes, 3 * partBytes));

      test.each([0, 2])("because it is aborted after %p parts, with the source waiting", async (count) => {
        const key = `broken/aborted-${count}`;
        const abort = new AbortController();
        const reason = new Error("enough");
        const parts = new CountedParts();
        const body = parts.of(patterned(4 * partBytes), partBytes, async (offset) => {
          if (offset < count * partBytes) return;
          abort.abort(reason);
          await new Promise(() => {});
        });
        expect(await failureOf(storage.put(key, body, { signal: abort.signal, partBytes }))).toBe(reason);
        parts.expectAllReleasedOnce();
        await expectNothingOf(key);
      });

      test("a part that comes after the abort is released too", async () => {
        const abort = new AbortController();
        const parts = new CountedParts();
        const { promise: late, resolve: giveLate } = Promise.withResolvers<void>();
        const body = parts.of(patterned(4 * partBytes), partBytes, async (offset) => {
          if (offset < partBytes) return;
          abort.abort(new Error("enough"));
          await late;
        });
        await failureOf(storage.put("broken/late", body, { signal: abort.signal, partBytes }));
        giveLate();
        while (parts.pulled < 2) await new Promise((resolve) => setImmediate(resolve));
        await new Promise((resolve) => setImmediate(resolve));
        parts.expectAllReleasedOnce();
      });

      test("a signal that is aborted already", async () => {
        const reason = new Error("before");
        const signal = AbortSignal.abort(reason);
        expect(await failureOf(put("broken/before", patterned(5), { signal }))).toBe(reason);
        expect(await failureOf((async () => storage.head("broken/before", signal))())).toBe(reason);
        expect(await failureOf(bytesOf(storage.get("broken/before", undefined, signal)))).toBe(reason);
        expect(await failureOf(keysOf(storage.list("broken/before", signal)))).toBe(reason);
      });
    });

    test("parallel puts", async () => {
      const sizes = [0, 100, partBytes, 2 * partBytes + 5, 300, partBytes - 1];
      await Promise.all(
        sizes.map((size, index) => put(`parallel/${index}/object`, patterned(size, index + 10))),
      );
      for (const [index, size] of sizes.entries()) {
        const got = await bytesOf(storage.get(`parallel/${index}/object`, undefined, never));
        expect(Buffer.compare(got, patterned(size, index + 10))).toBe(0);
      }
    });

    listing(() => under);

    test("remove deletes only one object, and is idempotent", async () => {
      await put("remove/a", patterned(5));
      await put("remove/a.json", patterned(5));
      await put("remove/a/deep", patterned(5)).catch(() => {});
      for (let time = 0; time < 2; time++)
        expect(await storage.remove("remove/a", never)).toEqual({ outcome: "removed" });
      expect(await storage.head("remove/a", never)).toBeUndefined();
      expect(await storage.head("remove/a.json", never)).toBeDefined();
      await put("remove/a", patterned(6));
      expect(await storage.head("remove/a", never)).toMatchObject({ sizeBytes: 6 });
    });

    test("discard undoes only a crashed put of its key, and is idempotent", async () => {
      const uploadId = await under.crashDuringPut("crash/one");
      const otherId = await under.crashDuringPut("crash/one.json");
      expect(await under.dangling()).toHaveLength(2);
      expect(await keysOf(storage.list("crash/", never))).toEqual([]);
      await storage.discard("crash/one", uploadId, never);
      await storage.discard("crash/one", uploadId, never);
      expect(await under.dangling()).toHaveLength(1);
      await put("crash/one", patterned(5));
      await storage.discard("crash/one.json", undefined, never);
      await storage.discard("crash/one.json", otherId, never);
      expect(await under.dangling()).toEqual([]);
      expect(await storage.head("crash/one", never)).toMatchObject({ sizeBytes: 5 });
    });

    test("sweep removes everything older than the given time, and nothing else", async () => {
      await put("sweep/kept", patterned(5));
      const left = ["sweep/left-1", "sweep/deeper/left-2"];
      for (const key of left) await under.crashDuringPut(key);
      const keys = async (asked: readonly string[]) =>
        new Set(asked.filter((key) => key === "sweep/kept" || left.includes(key)));
      expect(await storage.sweep(new Date(Date.now() - 3_600_000), never, keys)).toBe(0);
      expect(await under.dangling()).toHaveLength(2);
      expect(await storage.sweep(new Date(Date.now() + 3_600_000), never, keys)).toBe(2);
      expect(await under.dangling()).toEqual([]);
      expect(await storage.head("sweep/kept", never)).toBeDefined();
    });

    test("describe contains no secret", () => {
      expect(JSON.stringify(storage.describe())).not.toContain("secret");
    });
  });
}
