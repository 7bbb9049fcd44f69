import { expect, test } from "bun:test";
import { Pg321Error } from "../base/errors.ts";
import type { RestoredDatabase, ServerRestoreReport } from "../jobs/restore/server/report.ts";
import { exitCodeFor } from "./restore-server.ts";

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
