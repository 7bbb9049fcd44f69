import { expect, test } from "bun:test";
import { maskedSetting, valuesOfSetting, withoutHidden } from "./masked-setting.ts";
import { parseGlobals } from "./parse.ts";
import { planGlobals, type TargetRoles } from "./plan.ts";

function targetWith(
  roles: readonly string[],
  superusers: readonly string[],
  own: readonly string[] = [],
): TargetRoles {
  return {
    ...{ major: 15, isSuperuser: true, memberships: new Set<string>(), tablespaces: new Set<string>() },
    ...{ roles: new Set([...roles, "pg_execute_server_program"]), superusers: new Set(superusers) },
    ownSuperusers: new Set(own),
  };
}

const role = (name: string, attributes = "") => `CREATE ROLE ${name}; ALTER ROLE ${name} WITH ${attributes};`;

test("no role that exists gets a membership: its statement is shown instead", () => {
  const globals = parseGlobals(`
    ${role("postgres", "SUPERUSER LOGIN")} ${role("app", "LOGIN")} ${role("ops")} ${role("dba", "SUPERUSER LOGIN")}
    ${role("fresh")} ${role("report")}
    GRANT postgres TO app; GRANT pg_execute_server_program TO app; GRANT ops TO dba; GRANT report TO fresh;
    GRANT app TO report;`);
  const target = targetWith(["postgres", "app", "ops", "dba"], ["postgres", "ops"]);
  const plan = planGlobals(globals, "all", target, true);
  expect(plan.statements.map(({ shown }) => shown)).toEqual([
    'CREATE ROLE "fresh";',
    'CREATE ROLE "report";',
    'GRANT "report" TO "fresh";',
    'GRANT "app" TO "report";',
  ]);
  expect(plan.refused).toEqual([
    'GRANT "postgres" TO "app"; -- "app" exists in the target already',
    'GRANT "pg_execute_server_program" TO "app"; -- "app" exists in the target already',
    'GRANT "ops" TO "dba"; -- "ops" is a superuser in the target, but was none in the source',
  ]);
});

test("a role that is a superuser in the target needs no membership; a member of a superuser does", () => {
  const globals = parseGlobals(
    `${role("ops")} ${role("dba")} ${role("deputy")} GRANT ops TO dba; GRANT ops TO deputy;`,
  );
  const plan = planGlobals(globals, "all", targetWith(["dba", "deputy"], ["dba", "deputy"], ["dba"]), true);
  expect(plan.roles).toEqual(["ops"]);
  expect(plan.refused).toEqual(['GRANT "ops" TO "deputy"; -- "deputy" exists in the target already']);
});

test("a role that became a member of a superuser is not given to a new role either", () => {
  const globals = parseGlobals(`${role("ops")} ${role("fresh", "LOGIN")} GRANT ops TO fresh;`);
  // `ops` is there a member of a superuser.
  const plan = planGlobals(globals, "all", targetWith(["ops", "root"], ["root", "ops"]), true);
  expect(plan.refused).toEqual([
    'GRANT "ops" TO "fresh"; -- "ops" is a superuser in the target, but was none in the source',
  ]);
});

test("a restore of one database creates no superuser that is only a member, and shows it", () => {
  const globals = parseGlobals(`
    ${role("owner")} ${role("chief", "SUPERUSER LOGIN PASSWORD 'secret'")} ${role("deputy", "LOGIN")} ${role("plain")}
    GRANT owner TO chief; GRANT chief TO deputy; GRANT owner TO deputy; GRANT owner TO plain;`);
  const plan = planGlobals(globals, ["owner"], targetWith([], []), true);
  expect(plan.roles).toEqual(["owner", "plain"]);
  expect(plan.refused).toEqual([
    `CREATE ROLE "chief" WITH SUPERUSER LOGIN PASSWORD '…'; -- "chief" was a superuser in the source`,
    'CREATE ROLE "deputy" WITH LOGIN; -- "deputy" was a superuser in the source',
    'GRANT "owner" TO "chief"; -- the target has no role "chief"',
    'GRANT "owner" TO "deputy"; -- the target has no role "deputy"',
  ]);
  // One that owns something, and a whole server, need it.
  expect(planGlobals(globals, ["owner", "chief"], targetWith([], []), true).roles).toContain("chief");
  expect(planGlobals(globals, "all", targetWith([], []), true).roles).toHaveLength(4);
});

test("the values of a role's settings are in no text for people", () => {
  const secret = "s3cr3t; it''s 'TO'".replaceAll("'TO'", "''TO''");
  const globals = parseGlobals(
    `${role("x")} ALTER ROLE x SET "pgrst.jwt_secret" TO '${secret}'; ALTER ROLE x IN DATABASE d SET a.b TO 'deep secret';`,
  );
  const plan = planGlobals(globals, "all", targetWith([], []), true);
  expect(plan.statements.slice(1).map(({ shown }) => shown)).toEqual([
    `ALTER ROLE x SET "pgrst.jwt_secret" TO '…';`,
    "ALTER ROLE x IN DATABASE d SET a.b TO '…';",
  ]);
  expect(plan.statements[1]?.sql).toContain(secret);
  expect(plan.statements[1]?.hidden).toEqual(["s3cr3t; it's 'TO'"]);
  expect(maskedSetting("COMMENT ON ROLE x IS 'set to'")).toBe("COMMENT ON ROLE x IS 'set to'");
  const [value = ""] = valuesOfSetting("ALTER ROLE x SET work_mem TO 'hush'");
  expect(withoutHidden(`invalid value for parameter "work_mem": "${value}"`, [value])).toBe(
    'invalid value for parameter "work_mem": "…"',
  );
});

test("a name cannot end the comment of a refused statement", () => {
  const globals = parseGlobals('CREATE ROLE "x\ny"; CREATE ROLE a; GRANT a TO "x\ny";');
  const [line = ""] = planGlobals(globals, "all", targetWith(["x\ny"], []), true).refused;
  expect(line.split(" -- ")[1]).toBe('"x y" exists in the target already');
});

test("a statement that is not understood is refused if everything is wanted, without its text", () => {
  const globals = parseGlobals(`${role("app")}
    CREATE -- s3cr3t
    Profile strict LIMIT 5 AS 's3cr3t'; DROP /* s3cr3t */ PROFILE strict; ALTER TABLESPACE gone SET (seq_page_cost=1);
    GRANT USAGE ON VAULT "s3cr3t" TO app; "s3cr3t" x;`);
  expect(planGlobals(globals, "all", targetWith([], []), true).refused).toEqual([
    "CREATE Profile strict …; -- not understood",
    "DROP …; -- not understood",
    "ALTER TABLESPACE gone …; -- not understood",
    "GRANT USAGE ON …; -- not understood",
    "…; -- not understood",
  ]);
  expect(planGlobals(globals, ["app"], targetWith([], []), true).refused).toEqual([]);
});
