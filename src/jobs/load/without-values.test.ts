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
    'new row for relation "t" violates check constraint "t_i_check"',
    "Failing row contains (…)",
    "COPY t, line 1",
  ],
  [
    fault(
      'duplicate key value violates unique constraint "t_pkey"',
      "Key (t)=(a) is secret) already exists.",
      null,
    ),
    'duplicate key value violates unique constraint "t_pkey"',
    "Key (t)=(…)",
    null,
  ],
  [
    fault(
      'invalid input syntax for type integer: "a "column" secret"',
      null,
      'COPY t, line 1, column i: "secret"',
    ),
    "invalid input syntax for type integer: …",
    null,
    "COPY t, line 1, column i",
  ],
  [
    fault(
      'no partition of relation "t" found for row',
      "Partition key of the failing row contains (at) = (2025-01-01).",
      null,
    ),
    'no partition of relation "t" found for row',
    "Partition key of the failing row contains (…)",
    null,
  ],
  [fault('value "secret" is out of range for type bigint', null, null), "value …", null, null],
  [
    fault(
      "invalid input syntax for type json",
      'Token "secret" is invalid.',
      'JSON data, line 1: {"iban": 99887766, secret...\nCOPY t, line 1, column j: "{""iban"": 99887766"',
    ),
    "invalid input syntax for type json",
    null,
    "COPY t, line 1, column j",
  ],
  [
    fault(
      "invalid XML content",
      "line 1: Opening and ending tag mismatch: iban\n<iban>DE123</x>\n            ^",
      "COPY t, line 2",
    ),
    "invalid XML content",
    null,
    "COPY t, line 2",
  ],
  [
    fault("ungültige Eingabesyntax für Typ integer: »4111 1111«", null, "COPY t, Zeile 1: »4111 1111«"),
    "ungültige Eingabesyntax für Typ integer: …",
    null,
    null,
  ],
  [
    fault(
      "neue Zeile für Relation »t« verletzt Check-Constraint\nZUSAMMENHANG:  COPY t, Zeile 1: »geheim«",
      "Fehlgeschlagene Zeile enthält (1, geheim).",
      null,
    ),
    "neue Zeile für Relation …",
    null,
    null,
  ],
  [
    fault("schlechter Kunde geheim\nZUSAMMENHANG:  PL/pgSQL-Funktion f(text) Zeile 2 bei RAISE", null, null),
    "an error in a function",
    null,
    null,
  ],
])("%#", (given, message, detail, context) => {
  expect(withoutValues(given)).toEqual({ ...given, message, detail, context });
});

test("a hint may quote a row too, and other details are not known", () => {
  const given = fault("parse error - invalid geometry", 'Close to "8.54 47.37"', null);
  const shown = withoutValues({ ...given, hint: '"POINT(8.54 47.37" <-- parse error at position 17' });
  expect(shown).toEqual(fault("parse error - invalid geometry", null, null));
});
