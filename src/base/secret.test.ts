import { expect, test } from "bun:test";
import { format, inspect } from "node:util";
import { Secret } from "./secret.ts";

test("only reveal returns the value; every way of printing hides it", () => {
  const secret = new Secret("hunter2");
  const holder = { nested: [secret], map: new Map([["key", secret]]) };
  const printed = [
    `${secret}`,
    String(secret),
    JSON.stringify({ secret, holder }),
    inspect(holder, { depth: null, showHidden: true }),
    Bun.inspect(holder),
    format("%s %o %j", secret, secret, secret),
    JSON.stringify(Object.entries(secret)),
    JSON.stringify({ ...secret }),
    Bun.inspect(structuredClone({ ...secret })),
    Bun.inspect(new Error("with", { cause: holder })),
  ].join("\n");
  expect(printed).not.toContain("hunter2");
  expect(printed).toContain("[secret]");
  expect(secret.reveal()).toBe("hunter2");
});
