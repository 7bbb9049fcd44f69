import type { Connection } from "../connection.ts";
import type { LeftOutOfDump } from "./left-out.ts";

type Dependent = NonNullable<LeftOutOfDump["dependents"]>[number];

/** Objects whose names a record lists; the others are only counted. */
const LISTED_MAX = 200;
/** Relations that are recorded of each: one of them is enough to know that it cannot be made. */
const NEEDS_MAX = 20;

/** What else may need: without it, everything that needs it cannot be made either. */
const RELATIONS = ["VIEW", "MATERIALIZED VIEW", "TABLE", "FOREIGN TABLE"];

/** The OID of pg_class, which names the kind of an OID beside it. */
const PG_CLASS = 1259;

interface Edge {
  kind: string;
  schema: string;
  name: string;
  /** The view, the child, the function, or the table of which it is a part. */
  own: string;
  needs: string;
  needs_schema: string;
  needs_name: string;
}

/**
 * The views, foreign keys, rules, policies, functions and inheritance children of a dump that cannot be made without the relations that are not in it: the
 * archive does not say so, because pg_dump writes no dependency on what it does not dump. `absent`: OIDs.
 */
export async function dependentsOf(
  connection: Connection,
  absent: readonly number[],
): Promise<Pick<LeftOutOfDump, "dependents" | "dependents_omitted">> {
  if (absent.length === 0) return {};
  const edges = await listEdges(connection);
  const lacking = new Set(absent.map((oid) => `${PG_CLASS} ${oid}`));
  const isOurs = new Set(lacking);
  const found = new Map<string, Dependent>();
  for (let before = -1; before !== lacking.size; ) {
    before = lacking.size;
    for (const { kind, schema, name, own, needs, needs_schema, needs_name } of edges) {
      if (isOurs.has(own) || !lacking.has(needs)) continue;
      const key = JSON.stringify([kind, schema, name]);
      const dependent = found.get(key) ?? { kind, schema, name, needs: [] };
      found.set(key, dependent);
      const isListed = dependent.needs.some((one) => one.schema === needs_schema && one.name === needs_name);
      if (!isListed && dependent.needs.length < NEEDS_MAX)
        dependent.needs.push({ schema: needs_schema, name: needs_name });
      if (RELATIONS.includes(kind)) lacking.add(own);
    }
  }
  if (found.size === 0) return {};
  const dependents = [...found.values()].slice(0, LISTED_MAX);
  return { dependents, dependents_omitted: found.size - dependents.length };
}

/** What needs which relation, by the descriptions and tags that pg_dump writes. */
async function listEdges(connection: Connection): Promise<Edge[]> {
  return connection.run(
    "list what depends on tables",
    (sql) => sql<Edge[]>`
      with edges as (
        select case c.relkind when 'v' then 'VIEW' when 'm' then 'MATERIALIZED VIEW' else 'RULE' end as kind,
          c.oid as own, case when c.relkind in ('v', 'm') then '' else ' ' || r.rulename end as part, d.refobjid as needs
        from pg_depend d join pg_rewrite r on r.oid = d.objid join pg_class c on c.oid = r.ev_class
        where d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid <> c.oid
          and (c.relkind in ('r', 'p', 'f') or r.rulename = '_RETURN')
        union all
        select 'FK CONSTRAINT', conrelid, ' ' || conname, confrelid from pg_constraint
        where contype = 'f' and conparentid = 0
        union all
        select 'POLICY', p.polrelid, ' ' || p.polname, d.refobjid
        from pg_depend d join pg_policy p on p.oid = d.objid
        where d.classid = 'pg_policy'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid <> p.polrelid
        union all
        select case c.relkind when 'f' then 'FOREIGN TABLE' else 'TABLE' end, i.inhrelid, '', i.inhparent
        from pg_inherits i join pg_class c on c.oid = i.inhrelid where c.relkind in ('r', 'f') and not c.relispartition
      ), row_types as (
        select d.objid as own, coalesce(nullif(t.typrelid, 0), e.typrelid) as needs
        from pg_depend d join pg_type t on t.oid = d.refobjid left join pg_type e on e.oid = t.typelem and t.typlen = -1
        where d.classid = 'pg_proc'::regclass and d.refclassid = 'pg_type'::regclass
      )
      , all_edges as (
        select kind, c.relnamespace as schema_oid, c.relname || part as name, own, needs, 'pg_class'::regclass as own_class
        from edges join pg_class c on c.oid = own
        union all
        select case p.prokind when 'p' then 'PROCEDURE' when 'a' then 'AGGREGATE' else 'FUNCTION' end, p.pronamespace,
          p.proname || '(' || coalesce((select string_agg(format_type(a.type, null), ', ' order by a.place)
            from unnest(p.proargtypes) with ordinality as a (type, place)), '') || ')', p.oid, r.needs, 'pg_proc'::regclass
        from pg_proc p join row_types r on r.own = p.oid
      )
      select distinct kind, n.nspname as schema, name, own_class::oid || ' ' || own as own, 'pg_class'::regclass::oid || ' ' || needs as needs,
        f.nspname as needs_schema, o.relname as needs_name
      from all_edges join pg_namespace n on n.oid = schema_oid
        join pg_class o on o.oid = needs join pg_namespace f on f.oid = o.relnamespace
      where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
        and not exists (select from pg_depend e where e.classid = own_class and e.objid = own and e.deptype = 'e')
      order by schema, name, kind`,
  );
}
