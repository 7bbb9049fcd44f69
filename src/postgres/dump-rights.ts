import type { Connection } from "./connection.ts";

/**
 * Privileges that a role lacks to dump the connected database; each list holds at most five names, the counts are
 * complete.
 */
export interface LackingRights {
  /** Tables and sequences that it may not read. */
  unreadable: { count: number; names: string[] };
  /** Tables whose row security would hide rows from it: pg_dump refuses to dump them. */
  rowSecurity: { count: number; names: string[] };
  /** Large objects that it may not read. */
  largeObjects: number;
}

/** Checks the objects that pg_dump will lock and read: those made by users, without extensions. */
export async function lackingRights(connection: Connection): Promise<LackingRights> {
  const [row] = await connection.run(
    "check the role's privileges",
    (sql) => sql<
      {
        unreadable: string[];
        row_security: string[];
        large_objects: number;
      }[]
    >`
      with dumped as (
        select c.oid, quote_ident(n.nspname) || '.' || quote_ident(c.relname) as name, c.relkind,
          has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select') as is_readable
        from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p', 'S') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
          and not exists (select from pg_depend d
            where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
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
        end as large_objects`,
  );
  if (!row) throw new Error("a select without a table gives one row");
  const listed = (names: string[]) => ({ count: names.length, names: names.slice(0, 5) });
  return {
    unreadable: listed(row.unreadable),
    rowSecurity: listed(row.row_security),
    largeObjects: row.large_objects,
  };
}
