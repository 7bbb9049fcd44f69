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
  const used = onlyForward(statement("50", true));
  expect(used).toStartWith(
    `SELECT pg_catalog.setval('side."it''s"', 50, true) FROM pg_catalog.pg_sequence s`,
  );
  expect(used).toContain("pg_sequence_last_value(s.seqrelid) > 50");
  expect(used).toContain("pg_sequence_last_value(s.seqrelid) < 50");
  // After its first use the next value would come a second time.
  expect(onlyForward(statement("1", false))).toContain("pg_sequence_last_value(s.seqrelid) >= 1");
  expect(onlyForward("SELECT 1;\n")).toBeUndefined();
});
