import { describe, expect, test } from "bun:test";
import { patternFor, schemaPattern, tablePattern } from "./object-pattern.ts";

const TABLES: [string, string][] = [
  ["public", "orders"],
  ["shop", "orders"],
  ["shop", "order_item"],
  ["shop", "*"],
  ["Mixed Case", 'Odd.Table "x"'],
  ["a.b", "c"],
];
const matched = (written: string) => {
  const { matches } = tablePattern(written);
  return TABLES.filter((one) => matches(...one)).map((one) => one.join("|"));
};

describe("a pattern of tables", () => {
  test.each([
    ["orders", ["public|orders", "shop|orders"]],
    ["shop.orders", ["shop|orders"]],
    ["shop.order*", ["shop|orders", "shop|order_item"]],
    ["*.orders", ["public|orders", "shop|orders"]],
    ["shop.\\*", ["shop|*"]],
    ['shop."*"', ["shop|*"]],
    ["=*", ["shop|*"]],
    ['"Mixed Case"."Odd.Table ""x"""', ['Mixed Case|Odd.Table "x"']],
    ['Mixed Case."Odd.Table ""x"""', ['Mixed Case|Odd.Table "x"']],
    ['"a.b".?', ["a.b|c"]],
    ["Orders", []],
    ["public.orders.x", []],
  ])("%s", (written, names) => {
    expect(matched(written)).toEqual(names);
  });

  test("says whether it is a name", () => {
    expect(["orders", "shop.orders", '"*"', "=*"].map((one) => tablePattern(one).isName)).not.toContain(
      false,
    );
    expect(["*", "shop.o?", "[s]hop.orders"].map((one) => tablePattern(one).isName)).not.toContain(true);
  });

  test("an invalid glob is refused", () => {
    expect(() => tablePattern("shop.[")).toThrow('"[" is not a valid glob');
  });

  test("made for a table matches only it", () => {
    for (const one of TABLES) expect(matched(patternFor(...one))).toEqual([one.join("|")]);
    expect(patternFor(undefined, "totals")).toBe("totals");
    expect(patternFor("shop", 'a"b')).toBe('shop."a""b"');
  });
});

test("a pattern of schemas has one part", () => {
  const matches = (written: string, name: string) => schemaPattern(written).matches(undefined, name);
  expect(matches("a.b", "a.b")).toBe(true);
  expect(matches('"a"', "a")).toBe(true);
  expect(matches("=*", "shop")).toBe(false);
  expect(matches("sh*", "shop")).toBe(true);
});
