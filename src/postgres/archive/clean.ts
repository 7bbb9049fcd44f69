import type { Connection } from "../connection.ts";
import type { ArchiveContents, ArchiveEntry } from "./format.ts";
import { isPart, tableOf } from "./table-parts.ts";

/**
 * The entries whose drop statements PostgreSQL refuses and that are not needed: constraints that a partition has
 * from its parent, which are dropped with either of the two.
 */
export function needlessDrops({ entries }: ArchiveContents): ArchiveEntry[] {
  const byId = new Map(entries.map((entry) => [entry.id, entry]));
  const partitions = new Set(
    entries
      .filter(({ description }) => description === "TABLE ATTACH")
      .flatMap(({ namespace, tag, dependencies }) =>
        dependencies.filter((id) => {
          const table = byId.get(id);
          return table?.namespace === namespace && table?.tag === tag;
        }),
      ),
  );
  return entries.filter(
    ({ description, dependencies }) =>
      ["CONSTRAINT", "INDEX"].includes(description) && dependencies.some((id) => partitions.has(id)),
  );
}

/** Kinds of objects that `clean` drops, as named in an archive's drop statements. */
const DROPPED: Readonly<Record<string, string>> = {
  TABLE: "relation",
  VIEW: "relation",
  "MATERIALIZED VIEW": "relation",
  "FOREIGN TABLE": "relation",
  SEQUENCE: "relation",
  INDEX: "relation",
  FUNCTION: "routine",
  PROCEDURE: "routine",
  AGGREGATE: "routine",
  TYPE: "type",
  DOMAIN: "type",
  SCHEMA: "schema",
  EXTENSION: "extension",
  SERVER: "server",
};

const DROP = new RegExp(`^DROP (${Object.keys(DROPPED).join("|")}) (.+);\\s*$`, "s");

function droppedBy({ drop, tag }: ArchiveEntry): { kind: string; name: string }[] {
  const [, what = "", name = ""] = DROP.exec(drop) ?? [];
  const kind = DROPPED[what];
  // PostgreSQL does not parse `agg(*)` and ordered-set aggregates as names of routines.
  if (kind === undefined || (what === "AGGREGATE" && /\*|ORDER BY/.test(name))) return [];
  return [{ kind, name: kind === "extension" || kind === "server" ? tag : name }];
}

/** The tables, views, indexes and sequences that `clean` drops, as in the drop statements. */
export function droppedRelations(entries: readonly ArchiveEntry[]): string[] {
  return entries.flatMap(droppedBy).flatMap(({ kind, name }) => (kind === "relation" ? [name] : []));
}

/** The names of parts of tables, as `pg_identify_object` composes them. */
function partsIn(entries: readonly ArchiveEntry[]): { schema: string; name: string; table: string | null }[] {
  const byId = new Map(entries.map((entry) => [entry.id, entry]));
  return entries.flatMap((entry) => {
    const { namespace: schema = "", tag } = entry;
    if (!isPart(entry)) return [];
    const table = tableOf(entry, byId)?.tag;
    const isNamedAfter = table !== undefined && tag.startsWith(`${table} `);
    return [
      { schema, name: tag, table: null },
      ...(isNamedAfter ? [{ schema, name: tag.slice(table.length + 1), table }] : []),
    ];
  });
}

/**
 * Objects that prevent dropping the objects of the entries, or that would be dropped along although the archive
 * does not contain them: views, foreign keys and defaults of other objects, partitions unknown to the archive; if
 * only tables are restored, also those of their keys, indexes, triggers and sequences that are not among the entries.
 * In PostgreSQL's words, sorted.
 * Changes and locks nothing.
 */
export async function dependentsOfClean(
  target: Connection,
  entries: readonly ArchiveEntry[],
  isTablesOnly: boolean,
): Promise<string[]> {
  const dropped = JSON.stringify(entries.flatMap(droppedBy));
  const restored = JSON.stringify(partsIn(entries));
  const rows = await target.run(
    "look for objects that depend on those to be dropped",
    (sql) => sql<{ name: string }[]>`
      with recursive given as (
        select kind, name from json_to_recordset(${dropped}::text::json) as g (kind text, name text)
      ), target (classid, objid) as (
        select 'pg_class'::regclass::oid, to_regclass(name)::oid from given where kind = 'relation'
        union all select 'pg_proc'::regclass::oid, to_regprocedure(name)::oid from given where kind = 'routine'
        union all select 'pg_type'::regclass::oid, to_regtype(name)::oid from given where kind = 'type'
        union all select 'pg_namespace'::regclass::oid, to_regnamespace(name)::oid from given where kind = 'schema'
        union all select 'pg_extension'::regclass::oid, e.oid from given join pg_extension e
          on kind = 'extension' and extname = name
        union all select 'pg_foreign_server'::regclass::oid, s.oid from given join pg_foreign_server s
          on kind = 'server' and srvname = name
      ), restored (identity) as (
        select case when "table" is null then quote_ident(schema) || '.' || quote_ident(name)
            else quote_ident(name) || ' on ' || quote_ident(schema) || '.' || quote_ident("table") end
        from json_to_recordset(${restored}::text::json) as r (schema text, name text, "table" text)
      ), gone (classid, objid) as (
        select classid, objid from target where objid is not null
        union select d.classid, d.objid from gone g
          join pg_depend d on d.refclassid = g.classid and d.refobjid = g.objid
          where d.deptype in ('a', 'i', 'P', 'S', 'e', 'x')
      ), behind as (
        select d.classid, d.objid, max(d.objsubid) as objsubid from gone g
          join pg_depend d on d.refclassid = g.classid and d.refobjid = g.objid
          where d.deptype = 'n' and (d.classid, d.objid) not in (select classid, objid from gone)
          group by d.classid, d.objid
      )
      select distinct coalesce(
          (select pg_describe_object(i.refclassid, i.refobjid, 0) from pg_depend i
            where i.classid = b.classid and i.objid = b.objid and i.deptype = 'i' limit 1),
          pg_describe_object(b.classid, b.objid, b.objsubid)) as name
        from behind b
      union
      select 'partition ' || i.inhrelid::regclass || ' of table ' || i.inhparent::regclass
        from gone g join pg_inherits i on g.classid = 'pg_class'::regclass and i.inhparent = g.objid
        join pg_class c on c.oid = i.inhrelid
        where c.relispartition and c.relkind in ('r', 'p', 'f')
          and (g.classid, i.inhrelid) not in (select classid, objid from target where objid is not null)
      union
      select pg_describe_object(d.classid, d.objid, 0) from target t
        join pg_depend d on d.refclassid = t.classid and d.refobjid = t.objid
        left join pg_class c on d.classid = 'pg_class'::regclass and c.oid = d.objid
        left join pg_constraint k on d.classid = 'pg_constraint'::regclass and k.oid = d.objid
        where ${isTablesOnly} and t.classid = 'pg_class'::regclass
          and (d.classid, d.objid) not in (select classid, objid from target where objid is not null)
          and (select identity from pg_identify_object(d.classid, d.objid, 0)) not in (select identity from restored)
          and (d.deptype = 'a' and (c.relkind in ('i', 'I') or k.contype in ('p', 'u', 'x', 'f')
              or d.classid in ('pg_trigger'::regclass, 'pg_policy'::regclass, 'pg_rewrite'::regclass,
                'pg_statistic_ext'::regclass, 'pg_publication_rel'::regclass))
            or d.deptype in ('a', 'i') and c.relkind = 'S')
      order by name`,
  );
  return rows.map(({ name }) => name);
}
