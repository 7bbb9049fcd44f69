import { expect, test } from "bun:test";
import type { RestoreFault } from "./faults.ts";
import { withoutValues } from "./without-values.ts";

const fault = (message: string, detail: string | null, context: string | null): RestoreFault => ({
  ...{ entry: "TABLE DATA public.t", message, detail, hint: null, context },
  ...{ statement: null, kind: null, advice: null },
});

test("the words that a function chose for its error stay on the host", () => {
  const context = "PL/pgSQL function is_good(text) line 2 at RAISE";
  expect(withoutValues(fault("bad customer joe@example.com", "joe", context))).toEqual(
    fault("an error in a function", null, context),
  );
});

test.each([
  [
    fault(
      'COPY failed for table "t": new row for relation "t" violates check constraint "t_i_check"',
      "Failing row contains (1, a (secret) row).",
      'COPY t, line 1: "1	a (secret) row"',
    ),
    'COPY failed for table "t": new row for relation "t" violates check constraint "t_i_check"',
    "Failing row contains (…).",
    'COPY t, line 1: "…"',
  ],
  [
    fault(
      'duplicate key value violates unique constraint "t_pkey"',
      "Key (t)=(a) is secret) already exists.",
      null,
    ),
    'duplicate key value violates unique constraint "t_pkey"',
    "Key (t)=(…) already exists.",
    null,
  ],
  [
    fault(
      'invalid input syntax for type integer: "a "column" secret"',
      null,
      'COPY t, line 1, column i: "secret"',
    ),
    'invalid input syntax for type integer: "…"',
    null,
    'COPY t, line 1, column i: "…"',
  ],
  [
    fault(
      'no partition of relation "t" found for row',
      "Partition key of the failing row contains (at) = (2025-01-01).",
      null,
    ),
    'no partition of relation "t" found for row',
    "Partition key of the failing row contains (…).",
    null,
  ],
  [
    fault('value "secret" is out of range for type bigint', null, null),
    'value "…" is out of range for type bigint',
    null,
    null,
  ],
])("%#", (given, message, detail, context) => {
  expect(withoutValues(given)).toEqual({ ...given, message, detail, context });
});
