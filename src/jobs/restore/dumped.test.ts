import { expect, test } from "bun:test";
import type { ArchiveEntry } from "../../postgres/archive/format.ts";
import { requireDumped } from "./dumped.ts";

const table = (id: number, namespace: string, tag: string): ArchiveEntry => ({
  ...{ id, description: "TABLE", tag, namespace, owner: undefined, tablespace: undefined },
  ...{ definition: "", drop: "", dropRange: [0, 0], dependencies: [] },
});
const contents = { entries: [table(1, "public", "log"), table(2, "public", "kept")] };
const left = {
  tables: [
    { schema: "side", name: "log" },
    { schema: "audit", name: "event_1" },
    { schema: "audit", name: "a.b" },
  ],
  settings: { exclude_schemas: ["api_*", "nothing"] },
};

test.each([
  [{ tables: ["side.log"] }, 'table "log" of schema "side"'],
  [{ tables: ["log"], schemas: ["side"] }, 'table "log" of schema "side"'],
  [{ tables: ["log"], schemas: ["si*"] }, 'table "log" of schema "side"'],
  [{ tables: ["event_1"] }, 'table "event_1" of schema "audit"'],
  [{ tables: ["event*"] }, 'table "event_1" of schema "audit"'],
  [{ tables: ["=event_1"] }, 'table "event_1" of schema "audit"'],
  [{ tables: ['audit."event_1"'] }, 'table "event_1" of schema "audit"'],
  [{ tables: ["a.b"] }, 'table "a.b" of schema "audit"'],
  [{ tables: ["kept", "audit.*"] }, 'table "event_1" of schema "audit"'],
  [{ schemas: ["audit"] }, 'table "event_1" of schema "audit"'],
  [{ schemas: ["public", "=audit"] }, 'table "event_1" of schema "audit"'],
  // No table shows that a schema with functions alone was left out.
  [{ schemas: ["api_v1"] }, 'schema "api_v1"'],
  [{ schemas: ["=api_v1"] }, 'schema "api_v1"'],
])("%j names only what the config left out", (given, message) => {
  expect(() => requireDumped(contents, { schemas: [], tables: [], ...given }, left)).toThrow(
    expect.objectContaining({ code: "usage", message: `the backup is without ${message}` }),
  );
});

test.each([
  { tables: ["log"] },
  { tables: ["*.log"] },
  { tables: ["public.log"] },
  { tables: ["log"], schemas: ["public"] },
  { schemas: ["public"] },
  // In neither: another check refuses it.
  { tables: ["unknown"] },
  { schemas: ["unknown"] },
  {},
])("%j matches something in the backup, or nothing at all", (given) => {
  requireDumped(contents, { schemas: [], tables: [], ...given }, left);
  requireDumped(contents, { schemas: [], tables: [], ...given }, undefined);
});
