import type { Connection } from "../connection.ts";
import type { LeftOutOfDump } from "./left-out.ts";

type Dependent = NonNullable<LeftOutOfDump["dependents"]>[number];

/** Objects whose names a record lists; the others are only counted. */
const LISTED_MAX = 200;
/** Relations that are recorded of each: one of them is enough to know that it cannot be made. */
const NEEDS_MAX = 20;

interface Edge {
  kind: string;
  schema: string;
  name: string;
  /** The view, or the table of which it is a part. */
  own: string;
  needs: string;
  needs_schema: string;
  needs_name: string;
}

/**
 * The views, foreign keys, rules and policies of a dump that cannot be made without the relations that are not in it: the
 * archive does not say so, because pg_dump writes no dependency on what it does not dump. `absent`: OIDs.
 */
export async function dependentsOf(
  connection: Connection,
  absent: readonly number[],
): Promise<Pick<LeftOutOfDump, "dependents" | "dependents_omitted">> {
  if (absent.length === 0) return {};
  const edges = await listEdges(connection);
  const lacking = new Set(absent.map(String));
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
      if (kind === "VIEW" || kind === "MATERIALIZED VIEW") lacking.add(own);
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
      )
      select distinct kind, n.nspname as schema, c.relname || part as name, own::text as own, needs::text as needs,
        f.nspname as needs_schema, o.relname as needs_name
      from edges join pg_class c on c.oid = own join pg_namespace n on n.oid = c.relnamespace
        join pg_class o on o.oid = needs join pg_namespace f on f.oid = o.relnamespace
      where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
        and not exists (select from pg_depend e where e.classid = 'pg_class'::regclass and e.objid = c.oid
          and e.deptype = 'e')
      order by schema, name, kind`,
  );
}
