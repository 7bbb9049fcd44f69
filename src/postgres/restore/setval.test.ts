import { expect, test } from "bun:test";
import { onlyForward, positionOf } from "./setval.ts";

const statement = (value: string, isCalled: boolean) =>
  `SELECT pg_catalog.setval('side."it''s"', ${value}, ${isCalled});\n`;

test("reads pg_dump's statement, with names that contain quotes and negative positions", () => {
  expect(positionOf(statement("-5", true))).toEqual({ value: "-5", isCalled: true });
  expect(positionOf(statement("1", false))).toEqual({ value: "1", isCalled: false });
  expect(positionOf("SELECT pg_catalog.setval('a', 1, true); DROP TABLE t;")).toBeUndefined();
});

test("sets a sequence only if it is not further", () => {
  const used = onlyForward(statement("50", true)) ?? "";
  expect(used).toStartWith("DO 'DECLARE");
  const body = used.replaceAll("''", "'");
  expect(body).toContain(`PERFORM pg_catalog.setval('side."it''s"', 50, true);`);
  expect(body).toContain("> 50");
  expect(body).toContain("< 50");
  expect(body).toContain("= 50 THEN false");
  // After its first use the next value would come a second time.
  expect(onlyForward(statement("1", false))).toContain("= 1 THEN live_called");
  expect(onlyForward("SELECT 1;\n")).toBeUndefined();
});

test("reads the position from the sequence itself, which shows a restart", () => {
  const body = (onlyForward(statement("50", true)) ?? "").replaceAll("''", "'");
  expect(body).toContain(`SELECT last_value, is_called INTO live_value, live_called FROM side."it's";`);
  // Without the right to read it, also no error.
  expect(body).toContain("IF pg_catalog.has_sequence_privilege(sequence.seqrelid, 'SELECT') THEN");
});
