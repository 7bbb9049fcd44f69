import { expect, test } from "bun:test";
import type { RestoreError } from "./errors.ts";
import { RestoreErrors } from "./errors.ts";

/** Output of pg_restore 15 --verbose. */
const STDERR = `pg_restore: connecting to database for restore
pg_restore: creating TABLE "public.t"
pg_restore: while PROCESSING TOC:
pg_restore: from TOC entry 214; 1259 16498 TABLE t postgres
pg_restore: error: could not execute query: ERROR:  relation "t" already exists
Command was: CREATE TABLE public.t (
    password text DEFAULT 'hunter2'
);


pg_restore: creating USER MAPPING "public"
pg_restore: from TOC entry 215; 1259 16501 USER MAPPING postgres
pg_restore: error: could not execute query: ERROR:  syntax error at or near "hunter2"
LINE 1: CREATE USER MAPPING OPTIONS (password hunter2)
                                              ^
HINT:  Grüße
Command was: CREATE USER MAPPING OPTIONS (password 'hunter2
DETAIL:  no detail')
pg_restore: error: could not execute query: ERROR:  a second one
of two lines
pg_restore: processing data for table "public.t"
pg_restore: from TOC entry 3343; 0 16501 TABLE DATA t postgres
pg_restore: error: COPY failed for table "t": ERROR:  duplicate key
DETAIL:  Key (i)=(1) already exists.
CONTEXT:  COPY t, line 1
pg_restore: warning: errors ignored on restore: 4
`;

test.each([1, 7, 100_000])(
  "finds every error in pieces of %d bytes, with statements without literals",
  (pieceBytes) => {
    const found: RestoreError[] = [];
    const errors = new RestoreErrors((error) => found.push(error));
    const bytes = Buffer.from(STDERR);
    for (let at = 0; at < bytes.length; at += pieceBytes) errors.push(bytes.subarray(at, at + pieceBytes));
    errors.end();
    const none = { detail: undefined, hint: undefined, context: undefined, statement: undefined };
    expect(found).toEqual([
      {
        ...{ entry: 214, message: 'relation "t" already exists', ...none },
        statement: "CREATE TABLE public.t ( password text DEFAULT '…' );",
      },
      {
        ...{ entry: 215, message: 'syntax error at or near "hunter2"', ...none, hint: "Grüße" },
        statement: "CREATE USER MAPPING OPTIONS (password '…')",
      },
      { entry: 215, message: "a second one\nof two lines", ...none },
      {
        entry: 3343,
        message: 'COPY failed for table "t": duplicate key',
        detail: "Key (i)=(1) already exists.",
        hint: undefined,
        context: "COPY t, line 1",
        statement: undefined,
      },
    ]);
    expect(errors.ignored).toBe(4);
  },
);

test("an error that ends pg_restore does not count as ignored", () => {
  const errors = new RestoreErrors(() => {});
  errors.push(Buffer.from("pg_restore: error: connection lost\n"));
  errors.end();
  expect(errors.ignored).toBeUndefined();
});
