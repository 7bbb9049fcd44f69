import { expect, test } from "bun:test";
import { shownStatement } from "./shown-statement.ts";

test.each([
  [
    "CREATE INDEX idx_i ON public.idx USING btree (public.outer1(i));\n",
    "CREATE INDEX idx_i ON public.idx USING btree (public.outer1(i));",
  ],
  [
    "CREATE USER MAPPING FOR public SERVER far OPTIONS (\n    password 'hunter2',\n    \"user\" 'x'\n);",
    "CREATE USER MAPPING FOR public SERVER far OPTIONS ( password '…', \"user\" '…' );",
  ],
  [
    "CREATE FUNCTION f() RETURNS text\n    LANGUAGE sql\n    AS $_$select 'secret'$_$;",
    "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS '…';",
  ],
  ["COPY public.t (i, t) FROM stdin;", "COPY public.t (i, t) FROM stdin;"],
  ["INSERT INTO public.t (i) VALUES (4711, 'x');", "INSERT INTO public.t (i) VALUES …"],
  ["CREATE SUBSCRIPTION s CONNECTION 'host=a password=sec", "CREATE SUBSCRIPTION s CONNECTION …"],
  ["CREATE FUNCTION f() AS $body$ select 'sec", "CREATE FUNCTION f() AS …"],
])("%j is shown as %j", (sql, shown) => {
  expect(shownStatement(sql)).toBe(shown);
});

test("a long statement is cut", () => {
  expect(shownStatement(`CREATE TABLE t (${"column_name integer, ".repeat(100)})`)).toHaveLength(301);
});
