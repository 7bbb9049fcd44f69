import { expect, test } from "bun:test";
import { Pg321Error } from "../../base/errors.ts";
import { withVersionRisk } from "./leftovers.ts";

test("a failed restore adds the target's older version to the error's own hint", () => {
  const error = new Pg321Error("database", "it failed", { hint: "look" });
  const risk = { kind: "version" as const, name: "13", hint: "the dump is of PostgreSQL 15", sql: null };
  expect(withVersionRisk(error, [risk])).toMatchObject({
    message: "it failed",
    hint: "look; the target is PostgreSQL 13, and the dump is of PostgreSQL 15: this may be the cause",
  });
  expect(withVersionRisk(error, [])).toBe(error);
});
