import { expect, test } from "bun:test";
import type { ArchiveEntry } from "./format.ts";
import type { Selection } from "./selection.ts";
import { EVERYTHING } from "./selection.ts";
import { DataIndex, extensionsOf } from "./streams.ts";

let id = 0;
function entry(description: string, namespace: string | undefined, tag: string): ArchiveEntry {
  return {
    ...{ id: ++id, description, namespace, tag, section: "data", owner: undefined, tablespace: undefined },
    ...{ definition: "", drop: "", dropRange: [0, 0], dependencies: [] },
  };
}

const known = entry("TABLE DATA", "public", "orders");
const index = new DataIndex({ entries: [known] } as never);
/** An archive of rows: the schema does not show the tables of extensions. */
const rows = [
  entry("ENCODING", undefined, "ENCODING"),
  entry("TABLE DATA", "public", "orders"),
  entry("TABLE DATA", "cron", "job"),
  entry("SEQUENCE SET", "cron", "jobid_seq"),
  entry("BLOBS", undefined, "BLOBS"),
];
const choice = (selection: Partial<Selection>, skipped: string[], recorded: string[]) => ({
  selection: { ...EVERYTHING, ...selection },
  skipped,
  extensionOf: extensionsOf(recorded.map((name) => ({ schema: "cron", name, extension: "pg_cron" }))),
});
const taken = (selection: Partial<Selection>, skipped: string[] = [], recorded: string[] = []) =>
  index.toRestore({ entries: rows }, [known], choice(selection, skipped, recorded)).map(({ tag }) => tag);

test("rows that the schema does not show are restored, unless they are excluded or of a skipped extension", () => {
  expect(taken({})).toEqual(["orders", "job", "jobid_seq", "BLOBS"]);
  expect(taken({ only: "data" })).toEqual(["orders", "job", "jobid_seq", "BLOBS"]);
  expect(taken({ only: "schema" })).toEqual(["orders"]);
  expect(taken({ tables: ["orders"] })).toEqual(["orders"]);
  expect(taken({}, ["hstore"])).toEqual(["orders", "BLOBS"]);
  expect(taken({ only: "data" }, ["hstore"])).toEqual(["orders", "BLOBS"]);
  for (const pattern of ["cron", "cr*", "=cron"])
    expect(taken({ excludeSchemas: [pattern] })).toEqual(["orders", "BLOBS"]);
  expect(taken({ excludeSchemas: ["public"] })).toEqual(["orders", "job", "jobid_seq", "BLOBS"]);
  expect(taken({ excludeTables: ["cron.job"] })).toEqual(["orders", "jobid_seq", "BLOBS"]);
  expect(taken({ excludeTableData: ["cron.j*"] })).toEqual(["orders", "BLOBS"]);
});

test("rows whose extension is known are left out only with that extension", () => {
  const recorded = ["job", "jobid_seq"];
  expect(taken({}, ["hstore"], recorded)).toEqual(["orders", "job", "jobid_seq", "BLOBS"]);
  expect(taken({}, ["pg_cron"], recorded)).toEqual(["orders", "BLOBS"]);
  expect(taken({}, ["hstore"], ["job"])).toEqual(["orders", "job", "BLOBS"]);
});

test("the rows that a skipped extension keeps out are named", () => {
  const leftOut = (selection: Partial<Selection>, skipped = ["hstore"]) =>
    index.leftOut({ entries: rows }, [known], choice(selection, skipped, [])).map(({ tag }) => tag);
  expect(leftOut({})).toEqual(["job", "jobid_seq"]);
  expect(leftOut({}, [])).toEqual([]);
  // Not what the selection leaves out as well.
  expect(leftOut({ excludeTables: ["cron.job"] })).toEqual(["jobid_seq"]);
  expect(leftOut({ tables: ["orders"] })).toEqual([]);
});
