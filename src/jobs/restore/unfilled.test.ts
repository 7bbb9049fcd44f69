import { expect, test } from "bun:test";
import type { ArchiveEntry } from "../../postgres/archive/format.ts";
import { unfilled } from "./unfilled.ts";

const entry = (id: number, description: string, tag: string): ArchiveEntry => ({
  ...{ id, description, tag, namespace: "public", owner: undefined, tablespace: undefined, definition: "" },
  ...{ drop: "", dropRange: [0, 0], dependencies: [] },
});

test("names tables with rows and materialized views whose load failed", () => {
  const entries = [
    entry(1, "TABLE", "a"),
    entry(2, "TABLE DATA", "a"),
    entry(3, "TABLE DATA", "empty"),
    entry(4, "TABLE DATA", "good"),
    entry(5, "MATERIALIZED VIEW DATA", "m"),
  ];
  const rows = new Map([
    [2, 7],
    [4, 7],
  ]);
  const counter = {
    rowsOf: (asked: readonly Pick<ArchiveEntry, "id">[]) =>
      asked.reduce((sum, { id }) => sum + (rows.get(id) ?? 0), 0),
  };
  expect(unfilled(entries, new Set([1, 2, 3, 5]), counter)).toEqual(["public.a", "public.m"]);
  expect(unfilled(entries, new Set([3]), { rowsOf: () => undefined })).toEqual(["public.empty"]);
});
