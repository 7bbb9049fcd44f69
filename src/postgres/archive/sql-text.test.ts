import { describe, expect, test } from "bun:test";
import { quoteIdentifier, renameDatabase, rolesNamedIn, statementsOf } from "./sql-text.ts";

describe("statements", () => {
  test("are split at semicolons outside strings, names, comments and dollar quotes", () => {
    const sql = `A 'x;''y'; B "o;""k"; C E'\\';' -- no; end\n; D $f$ a; b $f$; `;
    expect(statementsOf(sql)).toEqual([`A 'x;''y'`, `B "o;""k"`, `C E'\\';' -- no; end`, "D $f$ a; b $f$"]);
  });

  test("an empty text has none", () => {
    expect(statementsOf("\n ;; \n")).toEqual([]);
  });
});

describe("renaming a database", () => {
  test("leaves strings and other names alone", () => {
    const sql = `COMMENT ON DATABASE shop IS 'DATABASE shop'; ALTER ROLE shop IN DATABASE shop SET x TO 'shop';`;
    expect(renameDatabase(sql, "shop", 'a"b')).toBe(
      `COMMENT ON DATABASE "a""b" IS 'DATABASE shop'; ALTER ROLE shop IN DATABASE "a""b" SET x TO 'shop';`,
    );
  });

  test("finds a quoted name", () => {
    expect(renameDatabase(`CREATE DATABASE ${quoteIdentifier('Odd "name')} WITH`, 'Odd "name', "x")).toBe(
      'CREATE DATABASE "x" WITH',
    );
  });
});

describe("roles named in a statement", () => {
  test.each([
    ['GRANT SELECT,INSERT ON TABLE public.t TO alice, "Bob to" WITH GRANT OPTION', ["alice", "Bob to"]],
    ["REVOKE ALL ON SCHEMA public FROM PUBLIC", []],
    ['REVOKE ALL ON FUNCTION f(a "from", b text) FROM carol', ["carol"]],
    ['GRANT ALL ON TABLE "to"."from" TO dave', ["dave"]],
    [
      "ALTER DEFAULT PRIVILEGES FOR ROLE owner_x IN SCHEMA s GRANT SELECT ON TABLES TO reader_y",
      ["owner_x", "reader_y"],
    ],
    ["CREATE POLICY p ON t FOR SELECT TO eve, frank USING ((x = 'to nobody'::text))", ["eve", "frank"]],
    ["CREATE POLICY p ON t USING ((a BETWEEN b AND c))", []],
    ["CREATE USER MAPPING FOR gina SERVER s OPTIONS (\"user\" 'to')", ["gina"]],
    ["ALTER ROLE hugo IN DATABASE d SET role TO 'ivy'", ["hugo"]],
    ["ALTER DATABASE d SET work_mem TO '5MB'", []],
  ])("%s", (sql, roles) => {
    expect(rolesNamedIn(sql)).toEqual(roles);
  });
});
