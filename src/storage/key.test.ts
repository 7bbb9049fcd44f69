import { expect, test } from "bun:test";
import fc from "fast-check";
import { compareKeys } from "./key.ts";

const byBytes = (a: string, b: string) => Math.sign(Buffer.compare(Buffer.from(a), Buffer.from(b)));

test("keys are compared by their UTF-8 bytes", () => {
  const key = fc.string({ unit: "binary", maxLength: 12 });
  fc.assert(
    fc.property(key, key, key, (start, a, b) => {
      expect(Math.sign(compareKeys(start + a, start + b))).toBe(byBytes(start + a, start + b));
    }),
    { numRuns: 2_000 },
  );
});

test.each([
  ["a-b", "a/b"],
  ["a", "a.json"],
  ["\u{ffff}", "\u{10000}"],
  ["\u{e000}", "😀"],
  ["é", "日"],
])("%s sorts before %s", (a, b) => {
  expect(byBytes(a, b)).toBe(-1);
  expect(compareKeys(a, b)).toBeLessThan(0);
  expect(compareKeys(b, a)).toBeGreaterThan(0);
  expect(compareKeys(a, a)).toBe(0);
});
