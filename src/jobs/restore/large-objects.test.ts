import { expect, test } from "bun:test";
import type { ArchiveEntry } from "../../postgres/archive/format.ts";
import type { Connection } from "../../postgres/connection.ts";
import { largeObjectObstacles, largeObjectsOf, mayHideLargeObjects } from "./large-objects.ts";
import type { RestoreRequest } from "./report.ts";

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

test.each([
  [{ clean: true, keepGoing: false }, true, true],
  [{ clean: true, keepGoing: true }, true, true],
  [{ clean: true, keepGoing: true }, false, false],
  [{ clean: false, keepGoing: true }, true, true],
  [{ clean: false, keepGoing: false }, true, false],
  [{ clean: true, keepGoing: true, create: true }, true, false],
])("hidden large objects that --clean cannot drop: %#", async (words, mayBeHidden, isRefused) => {
  const connection = { run: async () => [{ name: "16385" }] } as unknown as Connection;
  const target = { label: "server main" } as RestoreRequest["target"];
  const request = { target, create: false, ...words };
  const obstacles = await largeObjectObstacles(connection, request, [entry("TABLE", "t")], mayBeHidden);
  expect(obstacles).toHaveLength(isRefused ? 1 : 0);
  if (isRefused)
    expect(obstacles[0]?.hint).toStartWith(words.clean ? "--clean cannot" : "--keep-going would");
});

test("--clean drops the large objects that the entries show", async () => {
  const connection = { run: async () => [{ name: "16385" }] } as unknown as Connection;
  const target = { label: "server main" } as RestoreRequest["target"];
  const request = { target, create: false, clean: true, keepGoing: true };
  expect(await largeObjectObstacles(connection, request, [entry("BLOB", "16385")], true)).toEqual([]);
});
