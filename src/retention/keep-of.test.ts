import { expect, test } from "bun:test";
import { backup, daysAgo, expired, input, planRetention } from "../../test/fixtures/retention.ts";

test("a database may have keep rules of its own", () => {
  const short = { days: 2, weekly: 1 };
  const keepOf = (_: string, database: string, storage: string) =>
    database === "app" && storage !== "b2" ? short : { days: 365 };
  const other = { ...backup("other", daysAgo(10)), database: "other" };
  const given = input([backup("new", daysAgo(1)), backup("old", daysAgo(5)), other]);
  expect(expired(planRetention({ ...given, keepOf }))).toEqual(["old local", "old r2"]);
});
