import { expect, test } from "bun:test";
import { messagesOf } from "./program-messages.ts";

test("an error keeps its details and hints, over several lines, but not the command", () => {
  const stderr = [
    "pg_restore: while PROCESSING TOC:",
    "pg_restore: from TOC entry 3; 1259 16385 TABLE t postgres",
    "pg_restore: error: could not execute query: ERROR:  cannot drop table t because other objects depend on it",
    "DETAIL:  view v depends on table t",
    "view w depends on table t",
    "HINT:  Use DROP ... CASCADE to drop the dependent objects too.",
    "Command was: DROP TABLE public.t;",
    "COMMENT ON TABLE t IS 'ERROR';",
    "",
    "pg_restore: warning: errors ignored on restore: 1",
  ].join("\n");
  expect(messagesOf(stderr)).toEqual([
    { kind: "note", text: "while PROCESSING TOC:", details: [], hints: [] },
    { kind: "note", text: "from TOC entry 3; 1259 16385 TABLE t postgres", details: [], hints: [] },
    {
      kind: "error",
      text: "could not execute query: ERROR:  cannot drop table t because other objects depend on it",
      details: ["view v depends on table t view w depends on table t"],
      hints: ["Use DROP ... CASCADE to drop the dependent objects too."],
    },
    { kind: "warning", text: "errors ignored on restore: 1", details: [], hints: [] },
  ]);
});

test("pg_dump's own details and hints, and the server's warnings", () => {
  const stderr = [
    'WARNING:  database "app" has a collation version mismatch',
    "DETAIL:  The database was created using collation version 2.31.",
    "pg_dump: warning: there are circular foreign-key constraints on this table:",
    "pg_dump: detail: tree",
    "pg_dump: hint: You might not be able to restore the dump without using --disable-triggers.",
    'pg_dump: error: query failed: ERROR:  relation "public.t" does not exist',
    "pg_dump: detail: Query was: LOCK TABLE public.t IN ACCESS SHARE MODE",
  ].join("\n");
  expect(messagesOf(stderr)).toEqual([
    {
      kind: "warning",
      text: 'WARNING: database "app" has a collation version mismatch',
      details: ["The database was created using collation version 2.31."],
      hints: [],
    },
    {
      kind: "warning",
      text: "there are circular foreign-key constraints on this table:",
      details: ["tree"],
      hints: ["You might not be able to restore the dump without using --disable-triggers."],
    },
    {
      kind: "error",
      text: 'query failed: ERROR:  relation "public.t" does not exist',
      details: ["Query was: LOCK TABLE public.t IN ACCESS SHARE MODE"],
      hints: [],
    },
  ]);
});

test.each(["", "\n\n", "no program's line", "DETAIL:  alone"])("%j is parsed without failure", (stderr) => {
  expect(messagesOf(stderr).length).toBeLessThanOrEqual(1);
});

test("an option that a program does not know, with the program's path", () => {
  const stderr = `/usr/lib/postgresql/15/bin/pg_dump: unrecognized option '--large-objects'
pg_dump: hint: Try "pg_dump --help" for more information.`;
  expect(messagesOf(stderr)).toEqual([
    {
      ...{ kind: "error", text: "unrecognized option '--large-objects'", details: [] },
      hints: ['Try "pg_dump --help" for more information.'],
    },
  ]);
});
