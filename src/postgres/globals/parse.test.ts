import { describe, expect, test } from "bun:test";
import { parseGlobals } from "./parse.ts";
import { membershipKey, planGlobals } from "./plan.ts";

const HOSTILE = 'a "b"\n\\restrict x; DROP ROLE c; -- \' $$';
const quoted = `"${HOSTILE.replaceAll('"', '""')}"`;

const DUMP = `--
-- PostgreSQL database cluster dump
--

\\restrict abcDEF

SET default_transaction_read_only = off;

SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;

CREATE ROLE app;
ALTER ROLE app WITH NOSUPERUSER INHERIT NOCREATEROLE NOCREATEDB LOGIN NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 7 PASSWORD 'SCRAM-SHA-256$4096:x==$y=:z=' VALID UNTIL '2030-01-01 00:00:00+00';
CREATE ROLE ${quoted};
ALTER ROLE ${quoted} WITH SUPERUSER NOINHERIT CREATEROLE CREATEDB NOLOGIN NOREPLICATION NOBYPASSRLS;
COMMENT ON ROLE ${quoted} IS E'it''s \\\\ ; two
lines';
CREATE ROLE "Reader";
ALTER ROLE "Reader" WITH NOSUPERUSER INHERIT NOCREATEROLE NOCREATEDB LOGIN NOREPLICATION NOBYPASSRLS;

--
-- User Config "app"
--

ALTER ROLE app SET search_path TO 'a;b', '"$user"';

GRANT SET ON PARAMETER work_mem TO app;

GRANT app TO ${quoted} WITH ADMIN OPTION GRANTED BY postgres;
GRANT "Reader" TO app GRANTED BY ${quoted};
GRANT pg_monitor TO "Reader" WITH ADMIN OPTION, INHERIT FALSE, SET FALSE GRANTED BY postgres;

CREATE TABLESPACE "fast ; ssd" OWNER app LOCATION '/mnt/ssd';
GRANT ALL ON TABLESPACE "fast ; ssd" TO "Reader";

\\unrestrict abcDEF

--
-- PostgreSQL database cluster dump complete
--
`;

describe("the globals of pg_dumpall", () => {
  const globals = parseGlobals(DUMP);

  test("are read whatever the names contain", () => {
    expect(globals.roles.map(({ name }) => name)).toEqual(["app", HOSTILE, "Reader"]);
    expect(globals.unknown).toEqual([]);
    expect(globals.roles[0]).toMatchObject({
      canLogin: true,
      isSuperuser: false,
      password: "'SCRAM-SHA-256$4096:x==$y=:z='",
      attributes: ["LOGIN", "CONNECTION LIMIT 7", "VALID UNTIL '2030-01-01 00:00:00+00'"],
      extras: [`ALTER ROLE app SET search_path TO 'a;b', '"$user"'`],
    });
    expect(globals.roles[1]).toMatchObject({
      canLogin: false,
      isSuperuser: true,
      attributes: ["SUPERUSER", "NOINHERIT", "CREATEROLE", "CREATEDB"],
      extras: [`COMMENT ON ROLE ${quoted} IS E'it''s \\\\ ; two\nlines'`],
    });
    expect(globals.memberships).toEqual([
      { role: "app", member: HOSTILE, options: "ADMIN OPTION", isAdmin: true, grantor: "postgres" },
      { role: "Reader", member: "app", options: "", isAdmin: false, grantor: HOSTILE },
      {
        role: "pg_monitor",
        member: "Reader",
        options: "ADMIN OPTION, INHERIT FALSE, SET FALSE",
        isAdmin: true,
        grantor: "postgres",
      },
    ]);
    expect(globals.tablespaces).toMatchObject([{ name: "fast ; ssd" }]);
    expect(globals.tablespaces[0]?.statements).toHaveLength(2);
    expect(globals.parameterGrants).toEqual([{ role: "app", sql: "GRANT SET ON PARAMETER work_mem TO app" }]);
  });

  const target = (change: object = {}) => ({
    ...{ major: 15, isSuperuser: true, superusers: new Set(["postgres"]), memberships: new Set<string>() },
    ownSuperusers: new Set(["postgres"]),
    ...{ roles: new Set(["postgres", "pg_monitor"]), tablespaces: new Set<string>(), ...change },
  });
  const sql = (plan: ReturnType<typeof planGlobals>) => plan.statements.map((one) => one.shown);

  test("are created with members of members, and no password is shown", () => {
    const plan = planGlobals(globals, ["Reader", HOSTILE], target(), true);
    expect(plan.roles).toEqual(["app", HOSTILE, "Reader"]);
    expect(sql(plan)).toEqual([
      `CREATE ROLE "app" WITH LOGIN CONNECTION LIMIT 7 VALID UNTIL '2030-01-01 00:00:00+00' PASSWORD '…';`,
      `CREATE ROLE ${quoted} WITH SUPERUSER NOINHERIT CREATEROLE CREATEDB;`,
      `CREATE ROLE "Reader" WITH LOGIN;`,
      `GRANT "app" TO ${quoted} WITH ADMIN OPTION GRANTED BY "postgres";`,
      `GRANT "Reader" TO "app" GRANTED BY ${quoted};`,
      `GRANT "pg_monitor" TO "Reader" WITH ADMIN OPTION GRANTED BY "postgres";`,
      `ALTER ROLE app SET search_path TO '…';`,
      `COMMENT ON ROLE ${quoted} IS E'it''s \\\\ ; two\nlines';`,
      "GRANT SET ON PARAMETER work_mem TO app;",
    ]);
    expect(plan.statements[0]?.sql).toContain("PASSWORD 'SCRAM-SHA-256$4096:x==$y=:z='");
    expect(plan.without_password).toEqual([]);
    expect(plan.tablespaces).toEqual([
      { name: "fast ; ssd", sql: `CREATE TABLESPACE "fast ; ssd" OWNER app LOCATION '/mnt/ssd';` },
    ]);
  });

  test("leave alone what exists, and make nobody a superuser", () => {
    const there = target({
      roles: new Set(["postgres", "app", "Reader"]),
      superusers: new Set(["postgres", "Reader"]),
      memberships: new Set([membershipKey("app", HOSTILE)]),
    });
    const plan = planGlobals(globals, ["Reader", HOSTILE], there, false);
    expect(plan.roles).toEqual([HOSTILE]);
    expect(sql(plan)).toEqual([
      `CREATE ROLE ${quoted} WITH SUPERUSER NOINHERIT CREATEROLE CREATEDB;`,
      `COMMENT ON ROLE ${quoted} IS E'it''s \\\\ ; two\nlines';`,
    ]);
    expect(plan.refused).toEqual([
      'GRANT "Reader" TO "app"; -- "Reader" is a superuser in the target, but was none in the source',
      'GRANT "pg_monitor" TO "Reader" WITH ADMIN OPTION; -- the target has no role "pg_monitor"',
    ]);
  });

  test("of a role that nobody needs are not created, and missing passwords are named", () => {
    expect(planGlobals(globals, [HOSTILE], target(), true).roles).toEqual([HOSTILE]);
    expect(planGlobals(globals, "all", target(), false).without_password).toEqual(["Reader"]);
  });
});
