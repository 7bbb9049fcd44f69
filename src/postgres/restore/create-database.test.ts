import { describe, expect, test } from "bun:test";
import { createStatementFor } from "./create-database.ts";

const HEAD = `CREATE DATABASE "with = 'x'" WITH TEMPLATE = template0 ENCODING = 'UTF8'`;
const LIBC = `${HEAD} LOCALE_PROVIDER = libc LOCALE = 'de_DE.UTF-8' TABLESPACE = "big ""one"""`;
const ICU = `${HEAD} LOCALE_PROVIDER = icu LC_COLLATE = 'de_DE.UTF-8' LC_CTYPE = 'C' ICU_LOCALE = 'de-DE'`;
const RULES = `${ICU} ICU_RULES = '&a < ''g'''`;
const BUILTIN = `${HEAD} LOCALE_PROVIDER = builtin LOCALE = 'C' BUILTIN_LOCALE = 'C.UTF-8'`;
const FAST = BUILTIN.replace("'C.UTF-8'", "'PG_UNICODE_FAST'");

describe("only options that the server supports are used", () => {
  test.each([
    [15, LIBC, LIBC],
    [14, LIBC, `${HEAD} LOCALE = 'de_DE.UTF-8' TABLESPACE = "big ""one"""`],
    [12, LIBC, `${HEAD} LC_COLLATE = 'de_DE.UTF-8' LC_CTYPE = 'de_DE.UTF-8' TABLESPACE = "big ""one"""`],
    [16, RULES, RULES],
    [17, BUILTIN, BUILTIN],
    [18, FAST, FAST],
    [14, 'CREATE DATABASE "plain"', 'CREATE DATABASE "plain"'],
  ])("%i: %s", (major, statement, expected) => {
    expect(createStatementFor(major, statement)).toEqual({ statement: expected, lost: [] });
  });
});

describe("options that it does not support are reported", () => {
  const libc = (locale: string) => `it will sort by the system's locale ${locale} instead`;
  test.each([
    [15, RULES, ICU, ["icu_rules &a < 'g'"], "it will sort by its ICU locale without these rules"],
    [
      14,
      RULES,
      `${HEAD} LC_COLLATE = 'de_DE.UTF-8' LC_CTYPE = 'C'`,
      ["icu_locale de-DE", "icu_rules &a < 'g'"],
      libc("de_DE.UTF-8"),
    ],
    [16, BUILTIN, `${HEAD} LOCALE = 'C'`, ["builtin_locale C.UTF-8"], libc("C")],
    [
      17,
      FAST,
      BUILTIN,
      ["builtin_locale PG_UNICODE_FAST"],
      "it will sort by the builtin locale C.UTF-8 instead",
    ],
  ])("%i: %s", (major, statement, expected, lost, instead) => {
    const found = createStatementFor(major, statement);
    expect(found.statement).toBe(expected);
    expect(found.lost).toEqual(lost.map((name) => ({ name, instead })));
  });
});
