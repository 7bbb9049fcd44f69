import { expect, test } from "bun:test";
import { withoutStatements } from "./alerts.ts";

test("an alert of a restore holds no statement about roles", () => {
  const globals = {
    ...{ roles: ["x"], statements: ["ALTER ROLE x SET a.b TO '…';"], refused: ["GRANT a TO b; -- why"] },
    skipped: [{ statement: "ALTER ROLE x SET a.c TO '…';", error: "no such parameter" }],
  };
  const metadata = withoutStatements({ tables: 3, globals });
  expect(metadata).toEqual({
    tables: 3,
    globals: { roles: ["x"], refused: ["GRANT a TO b; -- why"], skipped: [{ error: "no such parameter" }] },
  });
  expect(withoutStatements({ tables: 3, globals: null })).toEqual({ tables: 3, globals: null });
});
