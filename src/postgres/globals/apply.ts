import { messageOf } from "../../base/errors.ts";
import type { Connection } from "../connection.ts";
import { inspectServer } from "../inspect.ts";
import { withoutHidden } from "./masked-setting.ts";
import type { GlobalsStatement, TargetRoles } from "./plan.ts";
import { membershipKey } from "./plan.ts";

export async function targetRoles(target: Connection): Promise<TargetRoles> {
  const { major, isSuperuser } = await inspectServer(target);
  const rows = await target.run(
    "list the roles",
    (sql) => sql<{ name: string; is_superuser: boolean; rolsuper: boolean }[]>`
      select rolname as name, rolsuper, exists (
        select from pg_roles s where s.rolsuper and pg_has_role(r.oid, s.oid, 'member')) as is_superuser
      from pg_roles r`,
  );
  const memberships = await target.run(
    "list the memberships of roles",
    (sql) => sql<{ role: string; member: string }[]>`
      select r.rolname as role, m.rolname as member from pg_auth_members a
      join pg_roles r on r.oid = a.roleid join pg_roles m on m.oid = a.member`,
  );
  const tablespaces = await target.run(
    "list the tablespaces",
    (sql) => sql<{ name: string }[]>`select spcname as name from pg_tablespace`,
  );
  return {
    ...{ major, isSuperuser },
    roles: new Set(rows.map(({ name }) => name)),
    superusers: new Set(rows.flatMap(({ name, is_superuser }) => (is_superuser ? [name] : []))),
    ownSuperusers: new Set(rows.flatMap(({ name, rolsuper }) => (rolsuper ? [name] : []))),
    memberships: new Set(memberships.map(({ role, member }) => membershipKey(role, member))),
    tablespaces: new Set(tablespaces.map(({ name }) => name)),
  };
}

/** A statement that failed without ending the others. */
export interface SkippedStatement {
  /** Without a password and the value of a setting. */
  statement: string;
  error: string;
}

/** Runs the statements in one transaction. Returns those that were skipped. Throws code `database`: then nothing was changed. */
export async function applyGlobals(
  target: Connection,
  statements: readonly GlobalsStatement[],
): Promise<SkippedStatement[]> {
  const run = (what: string, statement: string) => target.run(what, (sql) => sql.unsafe(statement).simple());
  const skipped: SkippedStatement[] = [];
  await run("begin a transaction", "BEGIN; SET LOCAL standard_conforming_strings = on");
  try {
    for (const { sql, shown, hidden, otherwise } of statements) {
      const what = `run: ${shown}`;
      if (otherwise === "stop") {
        await run(what, sql);
        continue;
      }
      await run("set a savepoint", "SAVEPOINT statement");
      try {
        await run(what, sql);
      } catch (error) {
        await run("return to a savepoint", "ROLLBACK TO SAVEPOINT statement");
        if (otherwise === "skip")
          skipped.push({ statement: shown, error: withoutHidden(messageOf(error), hidden) });
        else await run(what, otherwise.sql);
      }
    }
    await run("commit the roles", "COMMIT");
  } catch (error) {
    await run("undo the roles", "ROLLBACK").catch(() => {});
    throw error;
  }
  return skipped;
}
