import { expect, test } from "bun:test";
import type { Storage, StoredObject } from "../../src/storage/storage.ts";

const never = new AbortController().signal;

export async function keysOf(objects: AsyncIterable<StoredObject>): Promise<string[]> {
  return (await Array.fromAsync(objects)).map(({ key }) => key);
}

/** The part of the storage contract about lists. */
export function listing(
  use: () => { storage: Storage; seed: (key: string, bytes: Uint8Array) => Promise<unknown> },
): void {
  test("1,200 objects are listed, in order and by prefix", async () => {
    const keys = Array.from({ length: 1200 }, (_, index) => `many/${index % 7}/object-${index}`);
    const waiting = [...keys];
    const worker = async () => {
      for (let key = waiting.pop(); key !== undefined; key = waiting.pop()) {
        await use().seed(key, new TextEncoder().encode(key));
      }
    };
    await Promise.all(Array.from({ length: 16 }, worker));
    expect(await keysOf(use().storage.list("many/", never))).toEqual(keys.toSorted());
    const some = keys.filter((key) => key.startsWith("many/3/object-1")).toSorted();
    expect(await keysOf(use().storage.list("many/3/object-1", never))).toEqual(some);
    for await (const { sizeBytes, key } of use().storage.list("many/", never)) {
      expect(sizeBytes).toBe(key.length);
      break;
    }
    const sorted = keys.toSorted();
    for (const pageSize of [7, 500])
      expect(await keysOf(use().storage.list("many/6/", never, { pageSize }))).toEqual(
        sorted.filter((key) => key.startsWith("many/6/")),
      );
    for (const after of [
      "many/2/object-555",
      "many/3/",
      "many/3/object",
      "many/3/object-3",
      "many/4",
      "many0",
    ]) {
      const rest = sorted.filter((key) => key > after);
      expect(await keysOf(use().storage.list("many/", never, { after }))).toEqual(rest);
      const ofOne = rest.filter((key) => key.startsWith("many/3/object-1"));
      expect(await keysOf(use().storage.list("many/3/object-1", never, { after, pageSize: 50 }))).toEqual(
        ofOne,
      );
    }
  });

  test("a directory's name sorts as its objects' keys do", async () => {
    const keys = ["sort/a-b", "sort/a/b", "sort/a/c", "sort/a0", "sort/a.json"];
    for (const key of keys) await use().seed(key, new Uint8Array(1));
    expect(await keysOf(use().storage.list("sort/", never))).toEqual(keys.toSorted());
    expect(await keysOf(use().storage.list("sort/a", never))).toEqual(keys.toSorted());
    expect(await keysOf(use().storage.list("sort/a/", never))).toEqual(["sort/a/b", "sort/a/c"]);
  });
}
