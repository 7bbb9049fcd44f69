import { expect, test } from "bun:test";
import { manyDatabases } from "../../../test/fixtures/status-report.ts";
import { atOnce } from "../steps.ts";
import { jsonSteps, jsonText, longJson } from "./json.ts";

test("a record in steps is the same text", () => {
  const records = [
    {
      ...manyDatabases(120),
      none: undefined,
      empty: [],
      'a "key" \u0085\n': [{ text: "\u0085" }, undefined, null, [1]],
    },
    { only: null },
  ];
  for (const record of records) {
    expect(atOnce(jsonSteps(record))).toBe(jsonText(record));
  }
  const long = { list: Array.from({ length: 120 }, (_, index) => index) };
  expect([...jsonSteps(long)].length).toBe(3);
});

test("a record with long lists is the same text, page by page", async () => {
  const list = Array.from({ length: 12 }, (_, index) => ({ index, text: "\u0085", none: undefined }));
  const long = (all: readonly unknown[]) => ({
    async *pages() {
      for (let from = 0; from < all.length; from += 5) yield all.slice(from, from + 5);
      yield [];
    },
  });
  for (const all of [list, list.slice(0, 1), []])
    for (const { before, after } of [
      { before: {}, after: { left: 1 } },
      { before: { id: null, none: undefined }, after: {} },
    ]) {
      const parts = await Array.fromAsync(longJson({ ...before, copies: long(all), ...after }));
      expect(parts.join("")).toBe(`${jsonText({ ...before, copies: all, ...after })}\n`);
    }
});
