import { expect, test } from "bun:test";
import { outsideText, type Pg321Error } from "../base/errors.ts";
import { ChildError } from "../stream/process.ts";
import { databaseError } from "./errors.ts";

const ofChild = (stderr: string, readsRows = true) =>
  outsideText(
    databaseError(
      new ChildError("it ended with exit 1", { exitCode: 1, signalName: null, stderrTail: stderr }),
      "restore failed",
      readsRows,
    ),
  );

test("errors of statements about data leave the host without values of rows", () => {
  const fields = {
    code: "23505",
    severity: "ERROR",
    message: 'duplicate key value violates unique constraint "users_pkey"',
    detail: "Key (mail)=(joe@example.com) already exists.",
  };
  const error = databaseError(Object.assign(new Error(fields.message), fields), "cannot count") as Pg321Error;
  expect(error.message).toContain("joe@example.com");
  expect(outsideText(error)).toBe(`cannot count: ${fields.message}`);
});

test.each([
  ["P0001", "exec_stmt_raise"],
  ["55000", "exec_stmt_raise"],
])("the words of RAISE stay on the host: SQLSTATE %s", (code, routine) => {
  const fields = { code, routine, severity: "ERROR", message: "bad customer joe@example.com" };
  const error = databaseError(Object.assign(new Error(fields.message), fields), "cannot count") as Pg321Error;
  expect(error.message).toContain("joe@example.com");
  expect(outsideText(error)).toBe("cannot count: an error in a function");
});

test.each([
  [
    'pg_restore: error: COPY failed for table "users": ERROR:  invalid input syntax for type integer: "joe@example.com"',
    "restore failed: it ended with exit 1: invalid input syntax for type integer: …",
  ],
  [
    "pg_restore: error: could not execute query: ERROR:  bad customer joe@example.com\nCONTEXT:  PL/pgSQL function is_good(text) line 1 at RAISE",
    "restore failed: it ended with exit 1: an error in a function",
  ],
  [
    'pg_restore: error: COPY failed for table "users": FEHLER:  schlechter Kunde joe\nZUSAMMENHANG:  PL/pgSQL-Funktion f(text) Zeile 2 bei RAISE',
    "restore failed: it ended with exit 1: an error in a function",
  ],
  [
    'pg_restore: error: connection to server at "10.0.0.1", port 5432 failed: FATAL:  database "app" does not exist',
    'restore failed: it ended with exit 1: connection to server at "10.0.0.1", port 5432 failed: FATAL:  database "app" does not exist',
  ],
])("of pg_restore: %j", (stderr, told) => {
  expect(ofChild(stderr)).toBe(told);
});
