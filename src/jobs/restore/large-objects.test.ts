import { expect, test } from "bun:test";
import type { ArchiveEntry } from "../../postgres/archive/format.ts";
import { largeObjectsOf, mayHideLargeObjects } from "./large-objects.ts";

const entry = (description: string, tag: string): ArchiveEntry => ({
  ...{ id: 1, description, tag, namespace: undefined, owner: undefined, tablespace: undefined },
  ...{ definition: "", drop: "", dropRange: [0, 0], dependencies: [] },
});

const ANY = { first: 0, last: 4294967295 };

test.each([
  [[entry("TABLE", "16385")], []],
  [[entry("BLOB", "16385"), entry("BLOBS", "BLOBS")], [{ first: 16385, last: 16385 }]],
  [
    [entry("BLOB METADATA", "16385..4294967295"), entry("BLOBS", "BLOBS 16385..4294967295")],
    [{ first: 16385, last: 4294967295 }],
  ],
  [[entry("BLOB METADATA", "of another form"), entry("BLOBS", "BLOBS")], [ANY]],
  [[entry("BLOBS", "BLOBS")], [ANY]],
])("the OIDs of the large objects of an archive: %#", (entries, ranges) => {
  expect(largeObjectsOf(entries)).toEqual(ranges);
});

test("archives of PostgreSQL 17 and later with several streams may bring large objects that no entry shows", () => {
  const [all, old, some] = [{ format: "1.16" }, { format: "1.15" }, { numbers: { large_objects: 2 } }];
  const everything = { schemas: [], tables: [] };
  expect(mayHideLargeObjects(all, everything, some)).toBe(true);
  expect(mayHideLargeObjects(all, { ...everything, only: "data" }, undefined)).toBe(true);
  expect(mayHideLargeObjects(all, { ...everything, only: "schema" }, some)).toBe(false);
  expect(mayHideLargeObjects(all, { ...everything, tables: ["t"] }, some)).toBe(false);
  expect(mayHideLargeObjects(all, everything, { numbers: { large_objects: 0 } })).toBe(false);
  // Their archive of the schema has an entry for each.
  expect(mayHideLargeObjects(old, everything, some)).toBe(false);
  expect(largeObjectsOf([entry("TABLE", "t")], true)).toEqual([ANY]);
});
