import type { Connection } from "../connection.ts";
import type { DumpFacts, ObjectNumbers, PartOfTable } from "./facts.ts";

/** A table whose data pg_dump dumps. */
export interface DumpedTable {
  oid: number;
  schema: string;
  name: string;
  /** The file of its data; changes when the table is truncated or rewritten. 0: none. */
  filenode: number;
  /** Of an extension's table, the rows that are dumped; null: all. */
  condition: string | null;
}

export interface DumpedSequence {
  schema: string;
  name: string;
}

const USER_SCHEMA = "nspname !~ '^pg_' and nspname <> 'information_schema'";
/** Relations of users, and those of extensions whose data pg_dump dumps. `kinds`: SQL, a list of relkinds. */
const dumped = (kinds: string) => `
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
    left join (select distinct on (oid) oid, condition
      from (select unnest(extconfig) as oid, unnest(extcondition) as condition from pg_extension) e
      order by oid) config on config.oid = c.oid
  where c.relkind in (${kinds}) and ${USER_SCHEMA}
    and c.relpersistence <> 't' and not (c.relpersistence = 'u' and pg_is_in_recovery())
    and (config.oid is not null or not exists (select from pg_depend d
      where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'))
  order by nspname collate "C", relname collate "C"`;

/**
 * In the order in which pg_dump dumps them. Inheritance children and partitions are tables of their own; partitioned
 * parents and foreign tables have no data in a dump, nor have unlogged tables of a standby.
 */
export function listTables(connection: Connection): Promise<DumpedTable[]> {
  return connection
    .run("list the tables", (sql) =>
      sql.unsafe(`select c.oid::int8::text as oid, nspname as schema, relname as name,
        coalesce(pg_relation_filenode(c.oid), 0)::int8::text as filenode, nullif(condition, '') as condition
        ${dumped("'r'")}`),
    )
    .then((rows) =>
      rows.map(({ oid, schema, name, filenode, condition }) => ({
        oid: Number(oid),
        schema,
        name,
        filenode: Number(filenode),
        condition,
      })),
    );
}

export function listSequences(connection: Connection): Promise<DumpedSequence[]> {
  return connection.run("list the sequences", (sql) =>
    sql.unsafe<DumpedSequence[]>(`select nspname as schema, relname as name ${dumped("'S'")}`),
  );
}

export type ObjectFacts = Pick<DumpFacts, "invalid_indexes" | "unvalidated_constraints"> & {
  numbers: ObjectNumbers;
};

/** The objects that pg_dump writes by name: without those of extensions, and those that PostgreSQL makes itself. */
export async function readObjects(connection: Connection): Promise<ObjectFacts> {
  const [row] = await connection.run("count the objects", async (sql) => {
    const [version] = await sql<{ number: number }[]>`
      select current_setting('server_version_num')::int as number`;
    return sql.unsafe<ObjectRow[]>(objectsQuery(version?.number ?? 0));
  });
  if (!row) throw new Error("a select without a table gives one row");
  const { invalid_indexes, unvalidated_constraints, ...numbers } = row;
  return { invalid_indexes, unvalidated_constraints, numbers };
}

type ObjectRow = ObjectNumbers & { invalid_indexes: PartOfTable[]; unvalidated_constraints: PartOfTable[] };

/**
 * Not counted: constraints and triggers that a partition has from its parent (a restore makes them itself), `NOT NULL`
 * (a constraint only since PostgreSQL 18), invalid indexes (pg_dump leaves them out), and constructors of range types.
 */
function objectsQuery(version: number): string {
  const ofItsOwn = version >= 110_000 ? "and conparentid = 0" : "";
  const ofNoParent = version >= 130_000 ? "and tgparentid = 0" : "";
  const listed = (
    from: string,
  ) => `(select coalesce(json_agg(json_build_object('schema', nspname, 'table', "table",
    'name', name) order by nspname collate "C", name collate "C"), '[]') from (${from}) x)`;
  return `
  with of_extension as (select classid, objid from pg_depend where deptype = 'e'),
  schema as (select oid, nspname from pg_namespace where ${USER_SCHEMA}),
  relation as (select c.oid, c.relkind, c.relname, s.nspname
    from pg_class c join schema s on s.oid = c.relnamespace
    where (('pg_class'::regclass)::oid, c.oid) not in (select classid, objid from of_extension)),
  domain as (select t.oid, t.typname, s.nspname from pg_type t join schema s on s.oid = t.typnamespace
    where t.typtype = 'd' and (('pg_type'::regclass)::oid, t.oid) not in (select classid, objid from of_extension)),
  index as (select i.relname as name, r.nspname, r.relname as "table", x.indisvalid, r.relkind
    from pg_index x join pg_class i on i.oid = x.indexrelid join relation r on r.oid = x.indrelid),
  constrained as (select k.conname as name, k.convalidated, coalesce(r.nspname, d.nspname) as nspname,
      coalesce(r.relname, d.typname) as "table"
    from pg_constraint k left join relation r on r.oid = k.conrelid left join domain d on d.oid = k.contypid
    where k.contype in ('c', 'f', 'p', 'u', 'x') and (r.oid is not null or d.oid is not null) ${ofItsOwn})
  select
    (select count(*) from relation where relkind in ('r', 'p', 'f'))::int as tables,
    (select count(*) from index where indisvalid or relkind = 'p')::int as indexes,
    (select count(*) from constrained)::int as constraints,
    (select count(*) from pg_proc p join schema s on s.oid = p.pronamespace
      where not exists (select from pg_depend d
        where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype in ('e', 'i')))::int as functions,
    (select count(*) from pg_trigger t join relation r on r.oid = t.tgrelid
      where not tgisinternal ${ofNoParent})::int as triggers,
    (select count(*) from pg_extension where extname <> 'plpgsql')::int as extensions,
    (select count(*) from relation where relkind = 'S')::int as sequences,
    (select count(*) from relation where relkind in ('v', 'm'))::int as views,
    (select count(*) from pg_largeobject_metadata)::int as large_objects,
    ${listed("select * from index where not indisvalid")} as invalid_indexes,
    ${listed("select * from constrained where not convalidated")} as unvalidated_constraints`;
}
