import { databasePattern } from "../config/database-pattern.ts";
import type { Connection } from "./connection.ts";

export interface ServerFacts {
  /** As the server reports it: `15.14 (Debian 15.14-0+deb12u1)`. */
  version: string;
  major: number;
  isSuperuser: boolean;
  /** Why the session cannot write; undefined if it can. */
  readOnly: "standby" | "setting" | undefined;
  /** Undefined if the role may not see it. */
  dataDirectory: string | undefined;
}

export async function inspectServer(connection: Connection): Promise<ServerFacts> {
  const [row] = await connection.run(
    "read the server's version",
    (sql) => sql<
      {
        version: string;
        number: number;
        is_superuser: boolean;
        read_only: ServerFacts["readOnly"] | null;
        data_directory: string | null;
      }[]
    >`
      select current_setting('server_version') as version,
        current_setting('server_version_num')::int as number,
        (select rolsuper from pg_roles where rolname = current_user) as is_superuser,
        case when pg_is_in_recovery() then 'standby'
          when current_setting('transaction_read_only')::bool then 'setting' end as read_only,
        case when pg_has_role('pg_read_all_settings', 'usage')
          then current_setting('data_directory', true) end as data_directory`,
  );
  if (!row) throw new Error("a select without a table gives one row");
  return {
    version: row.version,
    major: Math.floor(row.number / 10_000),
    isSuperuser: row.is_superuser,
    readOnly: row.read_only ?? undefined,
    dataDirectory: row.data_directory ?? undefined,
  };
}

/** `datconnlimit` of an invalid database: `DROP DATABASE` of it was interrupted, and nothing but another one works. */
const INVALID = -2;

/** Databases that can be dumped, sorted by name: those that accept connections, and are neither templates nor invalid. */
export function listDatabases(connection: Connection): Promise<string[]> {
  return namesOf(connection, false);
}

/** Databases that were left invalid by an interrupted `DROP DATABASE`, sorted by name. */
export function listInvalidDatabases(connection: Connection): Promise<string[]> {
  return namesOf(connection, true);
}

async function namesOf(connection: Connection, isInvalid: boolean): Promise<string[]> {
  const rows = await connection.run(
    "list the databases",
    (sql) => sql<{ name: string }[]>`
      select datname as name from pg_database
      where datallowconn and not datistemplate and (datconnlimit = ${INVALID}) = ${isInvalid}
      order by datname collate "C"`,
  );
  return rows.map(({ name }) => name);
}

export interface DatabaseChoice {
  /** In the order of `available`. */
  chosen: string[];
  /** Plain names that do not exist: an error, since they would silently not be backed up. */
  missing: string[];
  /** Globs without a match: worth a warning. */
  idle: string[];
}

/** Applies the names and globs of a config (`databasePattern`) to the databases of a server. */
export function chooseDatabases(
  available: readonly string[],
  { databases, exclude }: { databases: readonly string[]; exclude: readonly string[] },
): DatabaseChoice {
  const [wanted, unwanted] = [databases.map(databasePattern), exclude.map(databasePattern)];
  const isExcluded = (database: string) => unwanted.some(({ matches }) => matches(database));
  const idle = wanted.filter(({ matches }) => !available.some(matches));
  return {
    chosen: available.filter(
      (database) => wanted.some(({ matches }) => matches(database)) && !isExcluded(database),
    ),
    missing: idle.flatMap(({ name }) => (name === undefined || isExcluded(name) ? [] : [name])),
    idle: idle.flatMap(({ name, written }) => (name === undefined ? [written] : [])),
  };
}

/** Bytes on the server's disk, including indexes; undefined if the role may not see it. */
export async function databaseBytes(connection: Connection, database: string): Promise<number | undefined> {
  const [row] = await connection.run(
    `read the size of database "${database}"`,
    (sql) => sql<{ bytes: string | null }[]>`
      select case when has_database_privilege(datname, 'connect') or pg_has_role('pg_read_all_stats', 'usage')
        then pg_database_size(oid) end as bytes
      from pg_database where datname = ${database}`,
  );
  return row?.bytes == null ? undefined : Number(row.bytes);
}

export async function databaseExists(connection: Connection, database: string): Promise<boolean> {
  const rows = await connection.run(
    "list the databases",
    (sql) => sql`select from pg_database where datname = ${database}`,
  );
  return rows.length > 0;
}

/**
 * The users' objects in the connected database, as `3 relations`; empty for a database as made by `create
 * database`. Extensions and their members do not count: a restore accepts them as they are.
 */
export async function contentsOfDatabase(connection: Connection): Promise<string[]> {
  const rows = await connection.run(
    "list the objects of the database",
    (sql) => sql<{ kind: string; count: number }[]>`
      with object (kind, classid, oid, namespace) as (
        select 'relations', tableoid, oid, relnamespace from pg_class where relkind not in ('i', 'I', 't', 'c')
        union all select 'functions', tableoid, oid, pronamespace from pg_proc
        union all select 'types', tableoid, oid, typnamespace from pg_type where typrelid = 0 and typelem = 0
          or typrelid in (select oid from pg_class where relkind = 'c')
        union all select 'operators', tableoid, oid, oprnamespace from pg_operator
        union all select 'collations', tableoid, oid, collnamespace from pg_collation
        union all select 'schemas', tableoid, oid, oid from pg_namespace where nspname <> 'public'
        union all select 'large objects', tableoid, oid, null from pg_largeobject_metadata
        union all select 'publications', tableoid, oid, null from pg_publication
        union all select 'event triggers', tableoid, oid, null from pg_event_trigger
        union all select 'foreign servers', tableoid, oid, null from pg_foreign_server
      )
      select kind, count(*)::int as count from object
      left join pg_namespace n on n.oid = namespace
      where (namespace is null or (n.nspname !~ '^pg_' and n.nspname <> 'information_schema'))
        and not exists (select from pg_depend d
          where d.classid = object.classid and d.objid = object.oid and d.deptype = 'e')
      group by kind order by kind`,
  );
  return rows.map(({ kind, count }) => `${count} ${count === 1 ? kind.replace(/s$/, "") : kind}`);
}

/** Objects of the server that a restore may need. */
export interface ServerOffer {
  roles: string[];
  /** Roles of which the session's role is a member, so that it may create objects owned by them. */
  memberships: string[];
  /** Superusers, and roles that are members of one: a member of these could become a superuser. */
  superusers: string[];
  extensions: string[];
  tablespaces: string[];
}

export async function offerOf(connection: Connection): Promise<ServerOffer> {
  const [row] = await connection.run(
    "list roles, extensions and tablespaces",
    (sql) => sql<[ServerOffer]>`
      select (select json_agg(rolname) from pg_roles) as roles,
        (select json_agg(rolname) from pg_roles where pg_has_role(oid, 'member')) as memberships,
        (select json_agg(rolname) from pg_roles r
          where exists (select from pg_roles s where s.rolsuper and pg_has_role(r.oid, s.oid, 'member')))
          as superusers,
        (select json_agg(name) from pg_available_extensions) as extensions,
        (select json_agg(spcname) from pg_tablespace) as tablespaces`,
  );
  return { ...row, extensions: row.extensions ?? [] };
}
