import { describe, expect, test } from "bun:test";
import { databasePattern, serverPattern } from "./database-pattern.ts";

const NAMES = ["*", "=*", "=app", "a?b", "a[1]", "a\\*", "a1", "app", "main/app", "shop_1", "shop_[1]"];
const matched = (written: string) => NAMES.filter(databasePattern(written).matches);

describe("a pattern of databases", () => {
  test.each([
    ["*", NAMES],
    ["?", ["*"]],
    ["shop_*", ["shop_1", "shop_[1]"]],
    ["a[1]", ["a1"]],
    ["a[[]1]", ["a[1]"]],
    ["a\\[1]", ["a[1]"]],
    ["\\*", ["*"]],
    ["a\\\\*", ["a\\*"]],
    ["[!a-z]*", ["*", "=*", "=app"]],
    ["app", ["app"]],
    ["main/app", ["main/app"]],
  ])("%s means the same, whatever databases exist", (written, names) => {
    expect(matched(written)).toEqual(names);
  });

  test.each(NAMES)("%s is a plain name after =", (name) => {
    expect(matched(`=${name}`)).toEqual([name]);
    expect(databasePattern(`=${name}`).name).toBe(name);
  });

  test("only a glob has no name", () => {
    expect(databasePattern("a*").name).toBeUndefined();
    expect(databasePattern("app").name).toBe("app");
  });

  test("an invalid glob is refused", () => {
    for (const written of ["[z-a]", "[a", "a[", "[]", "*\\"])
      expect(() => databasePattern(written)).toThrow(`"${written}" is not a valid glob`);
    expect(() => serverPattern("main/[z-a]")).toThrow('"[z-a]" is not a valid glob');
  });
});

describe("a pattern of databases of any server", () => {
  const ALL = ["main", "shop_eu"].flatMap((server) =>
    ["*", "app", "main/app", "shop_1"].map((database) => [server, database] as const),
  );
  const of = (written: string) =>
    ALL.filter(([server, database]) => serverPattern(written).matches(server, database)).map(
      ([server, database]) => `${server}: ${database}`,
    );

  test.each([
    ["app", ["main: app", "shop_eu: app"]],
    ["main/app", ["main: app"]],
    ["main/*", ["main: *", "main: app", "main: main/app", "main: shop_1"]],
    // Neither the name of a server nor a slash in the name of a database matches by accident.
    ["shop_*", ["main: shop_1", "shop_eu: shop_1"]],
    ["*/app", ["main: app", "shop_eu: app"]],
    ["*/main/app", ["main: main/app", "shop_eu: main/app"]],
    ["=main/app", ["main: main/app", "shop_eu: main/app"]],
    ["main/=*", ["main: *"]],
    ["=*", ["main: *", "shop_eu: *"]],
  ])("%s", (written, names) => {
    expect(of(written)).toEqual(names);
  });

  test("knows which servers it may match", () => {
    expect(serverPattern("app").isAbout("main")).toBe(true);
    expect(serverPattern("m*/app").isAbout("main")).toBe(true);
    expect(serverPattern("other/app").isAbout("main")).toBe(false);
  });
});
