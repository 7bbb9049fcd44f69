import { describe, expect, test } from "bun:test";
import { chooseDatabases } from "./inspect.ts";

const AVAILABLE = ["App_1", "a.b", "a[1]", "app_1", "app_2", "app_test", "postgres"];
const choose = (databases: string[], exclude: string[] = []) =>
  chooseDatabases(AVAILABLE, { databases, exclude });

describe("the databases chosen by a config", () => {
  test.each([
    [["*"], [], AVAILABLE],
    [["*"], ["app_*", "postgres"], ["App_1", "a.b", "a[1]"]],
    [["app_?"], [], ["app_1", "app_2"]],
    [["app_[2-9]", "postgres"], [], ["app_2", "postgres"]],
    [["[!a]*"], [], ["App_1", "postgres"]],
    [["a.?"], [], ["a.b"]],
    // A name that looks like a glob is treated as one.
    [["a[[]1]"], [], ["a[1]"]],
    [["=a[1]"], [], ["a[1]"]],
    [["a*"], ["=a.b", "=a[1]"], ["app_1", "app_2", "app_test"]],
    [["postgres", "postgres"], [], ["postgres"]],
  ])("%j without %j", (databases, exclude, chosen) => {
    expect(choose(databases, exclude)).toEqual({ chosen, missing: [], idle: [] });
  });

  test("a plain name that does not exist is reported, and the others are still chosen", () => {
    expect(choose(["app_1", "gone", "=APP_*"])).toEqual({
      chosen: ["app_1"],
      missing: ["gone", "APP_*"],
      idle: [],
    });
  });

  test("a plain name that does not exist is not reported if it is excluded", () => {
    expect(choose(["app_1", "gone", "=APP_*"], ["gon?", "=APP_*"])).toEqual({
      chosen: ["app_1"],
      missing: [],
      idle: [],
    });
  });

  test("a glob without a match is reported", () => {
    expect(choose(["app_1", "crm_*"])).toEqual({ chosen: ["app_1"], missing: [], idle: ["crm_*"] });
  });

  test("an invalid glob is refused", () => {
    expect(() => choose(["[z-a]"])).toThrow('"[z-a]" is not a valid glob');
  });
});
