import { Pg321Error } from "../base/errors.ts";
import { plural } from "../base/text/amounts.ts";
import { quoteIdentifier, quoteLiteral } from "./archive/sql-text.ts";
import type { Connection, Endpoint } from "./connection.ts";
import { connect } from "./connection.ts";

/** The first version in which a role can read everything without being a superuser (pg_read_all_data). */
export const READ_ALL_MAJOR = 14;

/** Names that a message lists; the counts are complete. */
const NAMES_MAX = 5;

/** A privilege that a role lacks to dump the connected database. */
export interface LackingRight {
  /** `"pg321" cannot read 2 of its tables and sequences: public.a, public.b`. */
  message: string;
  /** The statement that grants it, for a superuser. */
  statement: string;
}

/** Checks the objects that pg_dump will lock and read: those made by users, and the user data of extensions. */
export async function lackingRights(connection: Connection): Promise<LackingRight[]> {
  const [row] = await connection.run(
    "check the role's privileges",
    (sql) => sql<
      {
        unreadable: string[];
        row_security: string[];
        large_objects: number;
        version_num: number;
      }[]
    >`
      with dumped as (
        select c.oid, quote_ident(n.nspname) || '.' || quote_ident(c.relname) as name, c.relkind,
          has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select') as is_readable
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p', 'S') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
          and (not exists (select from pg_depend d
              where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
            or exists (select from pg_extension where c.oid = any (extconfig)))
      )
      select
        (select coalesce(json_agg(name order by name), '[]') from dumped where not is_readable) as unreadable,
        (select coalesce(json_agg(name order by name), '[]') from dumped
          where relkind <> 'S' and is_readable and row_security_active(oid)) as row_security,
        case when current_setting('lo_compat_privileges')::bool
            or (select rolsuper from pg_roles where rolname = current_user) then 0
          else (select count(*)::int from pg_largeobject_metadata m
            where not pg_has_role(m.lomowner, 'usage') and not exists (
              select from aclexplode(m.lomacl) a
              where a.privilege_type = 'SELECT' and (a.grantee = 0 or pg_has_role(a.grantee, 'usage'))))
        end as large_objects,
        current_setting('server_version_num')::int as version_num`,
  );
  if (!row) throw new Error("a select without a table gives one row");
  const { user } = connection.endpoint;
  const role = quoteIdentifier(user);
  const { unreadable, row_security, large_objects, version_num } = row;
  const lacking: LackingRight[] = [];
  if (unreadable.length > 0) {
    lacking.push({
      message: `"${user}" cannot read ${unreadable.length} of its tables and sequences: ${someOf(unreadable)}`,
      statement: readAllStatement(role, Math.floor(version_num / 10_000)),
    });
  }
  if (row_security.length > 0) {
    lacking.push({
      message: `row security hides rows of ${someOf(row_security)}, so pg_dump refuses to dump them`,
      statement: `ALTER ROLE ${role} BYPASSRLS;`,
    });
  }
  if (large_objects > 0) {
    lacking.push({
      message: `"${user}" cannot read ${plural(large_objects, "large object")} of other roles`,
      statement: `ALTER ROLE ${role} SET lo_compat_privileges = on;`,
    });
  }
  return lacking;
}

/**
 * Makes a role that can dump every database of a server from PostgreSQL 14 on; README.md explains each right. `isThere`:
 * the role exists, and only gets the rights.
 */
export function roleStatements(
  name: string,
  { password, isThere = false }: { password?: string; isThere?: boolean } = {},
): string[] {
  const role = quoteIdentifier(name);
  const secret = password === undefined ? "" : ` PASSWORD ${quoteLiteral(password)}`;
  return [
    `${isThere ? "ALTER" : "CREATE"} ROLE ${role} LOGIN BYPASSRLS${secret};`,
    `GRANT pg_read_all_data, pg_read_all_settings TO ${role};`,
    `ALTER ROLE ${role} SET lo_compat_privileges = on;`,
  ];
}

/** `role` is quoted. Before 14 only a superuser can read every future table too. */
export function readAllStatement(role: string, major: number): string {
  return major < READ_ALL_MAJOR ? `ALTER ROLE ${role} SUPERUSER;` : `GRANT pg_read_all_data TO ${role};`;
}

function mendingStatements(lacking: readonly LackingRight[]): string {
  return `run in psql as a superuser: ${lacking.map(({ statement }) => statement).join(" ")}`;
}

function someOf(names: readonly string[]): string {
  const shown = names.slice(0, NAMES_MAX).join(", ");
  return names.length > NAMES_MAX ? `${shown} and ${names.length - NAMES_MAX} more` : shown;
}

const LACKS_RIGHTS = /permission denied|must be owner|must be superuser|row-level security/;

/** Adds to the error of a dump every right that the role lacks, with the statements that mend it all at once. */
export async function withLackingRights(endpoint: Endpoint, error: unknown): Promise<unknown> {
  if (!(error instanceof Pg321Error) || !LACKS_RIGHTS.test(error.message)) return error;
  try {
    await using connection = await connect(endpoint);
    const lacking = await lackingRights(connection);
    if (lacking.length === 0) return error;
    const message = [error.message, ...lacking.map((one) => one.message)].join("; ");
    // The cause is pg_dump's own error, which has the end of its stderr.
    const { code, cause, retryable } = error;
    return new Pg321Error(code, message, { hint: mendingStatements(lacking), cause, retryable });
  } catch {
    // The error of the dump says more than one of this check.
    return error;
  }
}
