import { expect, test } from "bun:test";
import { Pg321Error } from "../base/errors.ts";
import type { RestoredDatabase, ServerRestoreReport } from "../jobs/restore/server/report.ts";
import { exitCodeFor, momentOption } from "./restore-server.ts";

function database(outcome: RestoredDatabase["outcome"]): RestoredDatabase {
  return {
    ...{ database: "app", backup_id: "b", started_at: "2026-01-01T00:00:00.000Z", outcome },
    ...{ tables: 1, rows: 1, duration_ms: 1, error: null, hint: null },
  };
}
const GLOBALS = {
  ...{ backup_id: "g", started_at: "2026-01-01T00:00:00.000Z", roles: [], statements: [] },
  ...{ refused: [], skipped: [], without_password: [], tablespaces: [] },
};
const left = (kind: ServerRestoreReport["left_out"][number]["kind"]) => [
  { database: "shop", kind, reason: "" },
];

test("a whole server is whole only if no database of that moment is missing", () => {
  const code = (
    outcomes: RestoredDatabase["outcome"][],
    left_out: ServerRestoreReport["left_out"] = [],
    cause?: unknown,
  ) => exitCodeFor({ databases: outcomes.map(database), globals: null, left_out, cause });
  expect(code(["restored", "skipped"])).toBe(0);
  expect(code(["restored"], left("gone"))).toBe(0);
  expect(code(["restored"], left("later"))).toBe(0);
  expect(code(["restored"], left("no_backup"))).toBe(3);
  expect(code(["planned"], left("no_backup"))).toBe(3);
  expect(code(["partial"])).toBe(3);
  for (const change of [{ refused: ["GRANT a TO b; -- why"] }, { skipped: [{ statement: "", error: "" }] }])
    expect(
      exitCodeFor({
        ...{ databases: [database("restored")], left_out: [], cause: undefined },
        globals: { ...GLOBALS, ...change },
      }),
    ).toBe(3);
  expect(
    exitCodeFor({ databases: [database("restored")], left_out: [], cause: undefined, globals: GLOBALS }),
  ).toBe(0);
  const cause = new Pg321Error("database", "no");
  expect(code(["restored", "failed"], [], cause)).toBe(3);
  expect(code(["failed"], left("no_backup"), cause)).toBe(10);
});

test("the moment is a time as the list prints it, a day its beginning", () => {
  const now = new Date("2026-11-23T12:00:00.000Z");
  const read = (text: string | undefined) =>
    momentOption(text, { now, timezone: "Europe/Berlin" })?.toISOString();
  expect([read(undefined), read("latest")]).toEqual([undefined, undefined]);
  expect(read("2026-11-22 02:00:00")).toBe("2026-11-22T01:00:00.000Z");
  expect(read("2026-11-22T02:00Z")).toBe("2026-11-22T02:00:00.000Z");
  expect(read("2026-11-22")).toBe("2026-11-21T23:00:00.000Z");
  expect(read("12h")).toBe("2026-11-23T00:00:00.000Z");
  expect(() => read("2026-11-23T14:00")).toThrow("--at 2026-11-23T14:00 is in the future");
  expect(() => read("23.11.2026")).toThrow('restore: --at is "23.11.2026", expected a time or an age');
});
