import { expect, test } from "bun:test";
import type { ArchiveEntry } from "../../postgres/archive/format.ts";
import { largeObjectsOf } from "./large-objects.ts";

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
