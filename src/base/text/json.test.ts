import { expect, test } from "bun:test";
import { manyDatabases } from "../../../test/fixtures/status-report.ts";
import { atOnce } from "../steps.ts";
import { jsonSteps, jsonText } from "./json.ts";

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
