import { expect, test } from "bun:test";
import type { RestoreTestCheck } from "../../catalog/records.ts";
import { kindText, type RestoreFault } from "../load/faults.ts";
import { checkTexts, errorOf } from "./told.ts";

const fault = (message: string, more: Partial<RestoreFault> = {}): RestoreFault => ({
  ...{ entry: "TABLE DATA public.users", message, detail: null, hint: null, context: null },
  ...{ statement: null, kind: null, advice: null },
  ...more,
});
const kind = (message: string, context: string | null = null) =>
  kindText(fault(message, { context, detail: "Key (email)=(joe@example.com) is duplicated." }));

test.each([
  ['relation "public.users" already exists', 'relation "public.users" already exists'],
  ['could not create unique index "users_email_key"', 'could not create unique index "users_email_key"'],
  [
    'insert or update on table "orders" violates foreign key constraint "orders_user_fkey"',
    'insert or update on table "orders" violates foreign key constraint "orders_user_fkey"',
  ],
  ['COPY failed for table "users": ERROR:  integer out of range', "integer out of range"],
  [
    'COPY failed for table "users": invalid input syntax for type integer: "joe@example.com"',
    "invalid input syntax for type integer: …",
  ],
  ['value "joe" is out of range; table "joe@example.com"', "value …"],
  [
    'invalid input value for enum mood: "joe@example.com\nof two lines"',
    "invalid input value for enum mood: …",
  ],
  [
    "ungültige Eingabesyntax für Typ integer: »joe@example.com«",
    "ungültige Eingabesyntax für Typ integer: …",
  ],
  ['type "joe@example.com" is new', "type …"],
])("of an error %j only its kind leaves the host", (message, told) => {
  expect(kind(message)).toBe(`TABLE DATA public.users: ${told}`);
});

test("the words that a function chose for its error stay on the host", () => {
  expect(kind("bad customer joe@example.com", "PL/pgSQL function public.checked(text) line 3 at RAISE")).toBe(
    "TABLE DATA public.users: an error in a function",
  );
});

test("the error of a test has table names and numbers, but no value of a row and no answer", () => {
  const check = (name: string, detail: string | null): RestoreTestCheck => ({
    ...{ name, is_ok: false, expected: "2", found: "joe@example.com", detail },
  });
  const checks = [
    check("pg_restore", "Key (email)=(joe@example.com) is duplicated."),
    check("rows", "public.orders: 3 rows at the backup, 2 restored"),
    check("check mail", null),
    { ...check("sequences", "joe@example.com"), is_ok: true },
  ];
  expect(errorOf(checks, [fault('duplicate key value violates unique constraint "users_pkey"')])).toBe(
    'pg_restore: 1 error: TABLE DATA public.users: duplicate key value violates unique constraint "users_pkey"; ' +
      "public.orders: 3 rows at the backup, 2 restored; check mail: not the expected answer",
  );
  expect(checkTexts({ checks, error: "short", outcome: "FAILED" })).toContain(
    "check mail: expected 2, found joe@example.com",
  );
});
