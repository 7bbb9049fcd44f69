import { describe, expect, test } from "bun:test";
import { schemaPattern, tablePattern } from "./table-pattern.ts";

const TABLES = ["public.log", "public.log_1", "app.log", "app.Log", "app.l*g", "app.a.b", 'app.a"b', "A.log"];
const matched = (written: string) =>
  TABLES.filter((name) => {
    const dot = name.indexOf(".");
    return tablePattern(written).matches(name.slice(0, dot), name.slice(dot + 1));
  });

describe("a pattern of tables", () => {
  test.each([
    ["log", ["public.log", "app.log", "A.log"], '*."log"'],
    ["public.log", ["public.log"], '"public"."log"'],
    ["public.log*", ["public.log", "public.log_1"], '"public"."log"*'],
    ["app.*", ["app.log", "app.Log", "app.l*g", "app.a.b", 'app.a"b'], '"app".*'],
    ["app.l\\*g", ["app.l*g"], '"app"."l*g"'],
    ["app.[L]og", ["app.Log"], '"app".[\\u004c]"og"'],
    ["[!a-z]*.log", ["A.log"], '[^a-z]*."log"'],
    ["app.a\\.b", ["app.a.b"], '"app"."a.b"'],
    ['app."a.b"', ["app.a.b"], '"app"."a.b"'],
    ['"app"."a""b"', ['app.a"b'], '"app"."a""b"'],
    ['"app"."l*g"', ["app.l*g"], '"app"."l*g"'],
    ["=app.l*g", ["app.l*g"], '"app"."l*g"'],
    ["=app.a.b", ["app.a.b"], '"app"."a.b"'],
    ["log_?", ["public.log_1"], '*."log_"?'],
  ])("%s", (written, names, argument) => {
    expect(matched(written)).toEqual(names);
    expect(tablePattern(written).argument).toBe(argument);
  });

  test.each(["", ".", "a.", ".a", "a.b.c", '"a', 'a"b"', "a.[z-a]", "=", "=a.", "a.[b"])(
    "%p is refused",
    (written) => {
      expect(() => tablePattern(written)).toThrow("is not a");
    },
  );
});

test("a pattern of schemas has no dot that separates", () => {
  expect(schemaPattern("shop_*").matches("shop_eu")).toBe(true);
  expect(schemaPattern("=shop_*").matches("shop_eu")).toBe(false);
  expect(schemaPattern('"Shop"').argument).toBe('"Shop"');
});
