import type { Sql } from "postgres";

/**
 * An exact comparison of two databases, computed on their servers: the rows of every table, view and
 * materialized view as a count and a hash that does not depend on their order, sequences, large objects,
 * and the definition of every object.
 */
export interface DatabaseContents {
  /** The compared facts, by name: `rows shop.customer` is `20000 rows, 6d5f…`. */
  facts: Map<string, string>;
  summary: ContentsSummary;
}

export interface ContentsSummary {
  tables: number;
  rows: number;
  sequences: number;
  large_objects: number;
  /** Definitions: columns, constraints, indexes, functions, triggers, comments, rights … */
  definitions: number;
}

export interface Comparison {
  /** One line each; empty when the databases are equal. */
  differences: string[];
  summary: ContentsSummary;
}

/** `acrossVersions`: the servers have different versions; what another version shows in other words is left out. */
export async function compareDatabases(
  source: Sql,
  restored: Sql,
  { acrossVersions = false } = {},
): Promise<Comparison> {
  const query = acrossVersions ? ACROSS_VERSIONS : DEFINITIONS;
  const [expected, actual] = [await contentsOf(source, query), await contentsOf(restored, query)];
  const names = new Set([...expected.facts.keys(), ...actual.facts.keys()]);
  const differences = [...names].sort().flatMap((name) => {
    const [a, b] = [expected.facts.get(name), actual.facts.get(name)];
    return a === b ? [] : [`${name}: ${a ?? "(not there)"} | ${b ?? "(not there)"}`];
  });
  return { differences, summary: expected.summary };
}

export async function contentsOf(connection: Sql, query = DEFINITIONS): Promise<DatabaseContents> {
  // One snapshot, and texts that do not depend on settings of the database or the role.
  return connection.begin("isolation level repeatable read", async (sql) => {
    await sql
      .unsafe(
        `set local search_path to pg_catalog; set local extra_float_digits to 3; set local bytea_output to hex;
       set local timezone to 'UTC'; set local datestyle to 'ISO'; set local intervalstyle to 'postgres';
       set local row_security to off; set local work_mem to '64MB'`,
      )
      .simple();
    const facts = new Map<string, string>();
    const rows = await addRows(sql, facts);
    const sequences = await addSequences(sql, facts);
    const largeObjects = await addAll(sql, facts, LARGE_OBJECTS);
    const definitions = await addAll(sql, facts, query);
    return { facts, summary: { ...rows, sequences, large_objects: largeObjects, definitions } };
  }) as Promise<DatabaseContents>;
}

type Query = Pick<Sql, "unsafe">;

async function addRows(sql: Query, facts: Map<string, string>): Promise<{ tables: number; rows: number }> {
  const relations = await sql.unsafe<{ name: string; kind: string; is_populated: boolean }[]>(
    `select format('%I.%I', nspname, relname) as name, relkind as kind, relispopulated as is_populated
     from pg_class c join pg_namespace n on n.oid = relnamespace
     where relkind in ('r', 'v', 'm') and ${IS_USERS("c", "relnamespace")} order by 1`,
  );
  let rows = 0;
  for (const { name, kind, is_populated } of relations) {
    if (!is_populated) {
      facts.set(`rows ${name}`, "not populated");
      continue;
    }
    // The sum of the hashes of all rows: the same rows have the same sum in any order.
    const [row] = await sql.unsafe<{ count: string; hash: string }[]>(
      `select count(*) as count, coalesce(sum(hashtextextended(t::text, 1)::numeric), 0) || '/' ||
         coalesce(sum(hashtextextended(t::text, 2)::numeric), 0) as hash from ${name} t`,
    );
    facts.set(`rows ${name}`, `${row?.count} rows, hash ${row?.hash}`);
    if (kind === "r") rows += Number(row?.count);
  }
  return { tables: relations.filter(({ kind }) => kind === "r").length, rows };
}

async function addSequences(sql: Query, facts: Map<string, string>): Promise<number> {
  const sequences = await sql.unsafe<{ name: string; relation: string; fact: string }[]>(SEQUENCES);
  for (const { name, relation, fact } of sequences) {
    const [state] = await sql.unsafe<{ last_value: string; is_called: boolean }[]>(
      `select last_value, is_called from ${relation}`,
    );
    facts.set(name, `${state?.last_value} ${state?.is_called} ${fact}`);
  }
  return sequences.length;
}

async function addAll(sql: Query, facts: Map<string, string>, query: string): Promise<number> {
  const rows = await sql.unsafe<{ name: string; fact: string }[]>(query);
  for (const { name, fact } of rows) {
    if (facts.has(name)) throw new Error(`"${name}" is not a unique name: ${fact}`);
    facts.set(name, fact);
  }
  return rows.length;
}

/** Excludes objects of the system, and objects of extensions, which the extension creates itself. */
function IS_USERS(alias: string, namespace: string): string {
  return `${alias}.${namespace} not in (select oid from pg_namespace where nspname ~ '^pg_' or nspname = 'information_schema')
    and not exists (select from pg_depend d where d.classid = ${alias}.tableoid and d.objid = ${alias}.oid and d.deptype = 'e')`;
}

const ALL_CONSTRAINTS = "/* also NOT NULL, from PostgreSQL 18 on */";

const ALL_TYPES = "/* also of sequences, before PostgreSQL 14 */";

const SEQUENCES = `
  select 'sequence ' || s.seqrelid::regclass as name, format('%I.%I', nspname, relname) as relation, concat_ws(' ',
      s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle) as fact
  from pg_sequence s join pg_class c on c.oid = s.seqrelid join pg_namespace n on n.oid = relnamespace
  where ${IS_USERS("c", "relnamespace")}`;

const LARGE_OBJECTS = `
  select 'large object ' || oid as name, concat_ws(' ', length(lo_get(oid)), md5(lo_get(oid)),
      pg_get_userbyid(lomowner), lomacl, obj_description(oid, 'pg_largeobject')) as fact
  from pg_largeobject_metadata`;

const DEFINITIONS = `
  select format('relation %s', c.oid::regclass) as name, concat_ws(' ', relkind, relpersistence, pg_get_userbyid(relowner),
      ${sortedAcl("relacl")}, reloptions, relrowsecurity, relforcerowsecurity, relreplident, relispartition,
      pg_get_expr(relpartbound, c.oid), case relkind when 'p' then pg_get_partkeydef(c.oid) end,
      case when relkind in ('v', 'm') then pg_get_viewdef(c.oid) end,
      case when relkind in ('i', 'I') then pg_get_indexdef(c.oid) end,
      (select string_agg(inhparent::regclass::text, ',' order by inhseqno) from pg_inherits where inhrelid = c.oid),
      obj_description(c.oid, 'pg_class')) as fact
  from pg_class c where ${IS_USERS("c", "relnamespace")} and relkind <> 't'
  union all
  select format('column %s.%I', attrelid::regclass, attname), concat_ws(' ',
      (select count(*) from pg_attribute b where b.attrelid = a.attrelid and b.attnum between 1 and a.attnum and not b.attisdropped),
      format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated, attstorage, attcompression,
      attcollation::regcollation, ${sortedAcl("attacl")}, pg_get_expr(adbin, adrelid), col_description(attrelid, attnum))
  from pg_attribute a join pg_class c on c.oid = attrelid left join pg_attrdef on adrelid = attrelid and adnum = attnum
  where ${IS_USERS("c", "relnamespace")} and attnum > 0 and not attisdropped and relkind not in ('t', 'i', 'I')
  union all
  select format('constraint %I on %s %s', conname, conrelid::regclass, contypid::regtype), concat_ws(' ',
      pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint'))
  from pg_constraint x where ${IS_USERS("x", "connamespace")} ${ALL_CONSTRAINTS}
  union all
  select format('trigger %I on %s', tgname, tgrelid::regclass), concat_ws(' ', tgenabled, pg_get_triggerdef(oid))
  from pg_trigger where not tgisinternal
  union all
  select format('rule %I on %s', rulename, ev_class::regclass), pg_get_ruledef(r.oid)
  from pg_rewrite r join pg_class c on c.oid = ev_class where ${IS_USERS("c", "relnamespace")} and rulename <> '_RETURN'
  union all
  select format('policy %I on %s', polname, polrelid::regclass), concat_ws(' ', polcmd, polpermissive,
      (select string_agg(pg_get_userbyid(o), ',' order by 1) from unnest(polroles) o),
      pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
  from pg_policy
  union all
  select format('function %s', p.oid::regprocedure), concat_ws(' ', pg_get_userbyid(proowner), ${sortedAcl("proacl")},
      case prokind when 'a' then (select concat_ws(' ', aggtransfn, aggtranstype::regtype) from pg_aggregate where aggfnoid = p.oid)
        else pg_get_functiondef(p.oid) end, obj_description(p.oid, 'pg_proc'))
  from pg_proc p where ${IS_USERS("p", "pronamespace")}
  union all
  select format('type %s', oid::regtype), concat_ws(' ', typtype, pg_get_userbyid(typowner), ${sortedAcl("typacl")},
      typbasetype::regtype, typnotnull, typdefault,
      (select string_agg(enumlabel, ',' order by enumsortorder) from pg_enum where enumtypid = t.oid))
  from pg_type t where ${IS_USERS("t", "typnamespace")} and typelem = 0 ${ALL_TYPES}
  union all
  select format('schema %I', nspname), concat_ws(' ', pg_get_userbyid(nspowner), ${sortedAcl("nspacl")}, obj_description(oid, 'pg_namespace'))
  from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema'
  union all
  select format('extension %I', extname), concat_ws(' ', extversion, extnamespace::regnamespace, extconfig::text is null)
  from pg_extension
  union all
  select format('default privileges %s %s %s', pg_get_userbyid(defaclrole), defaclnamespace::regnamespace, defaclobjtype), ${sortedAcl("defaclacl")}
  from pg_default_acl
  union all
  select format('publication %I', pubname), concat_ws(' ', puballtables, pubinsert, pubupdate, pubdelete, pubtruncate,
      (select string_agg(prrelid::regclass::text, ',' order by prrelid::regclass::text) from pg_publication_rel where prpubid = p.oid))
  from pg_publication p
  union all
  select format('statistics %s', stxname), pg_get_statisticsobjdef(oid) from pg_statistic_ext`;

/** Without the texts of queries and versions of extensions, and without what came with 14 and later. */
const ACROSS_VERSIONS = [
  ["attcompression,", ""],
  ["case when relkind in ('v', 'm') then pg_get_viewdef(c.oid) end,", ""],
  ["concat_ws(' ', extversion, extnamespace::regnamespace", "concat_ws(' ', extnamespace::regnamespace"],
  [ALL_TYPES, "and typrelid not in (select seqrelid from pg_sequence)"],
  [ALL_CONSTRAINTS, "and contype <> 'n'"],
  ["string_agg(item::text, ','", "string_agg(replace(item::text, 'arwdDxtm', 'arwdDxt'), ','"],
].reduce((text, [from = "", to = ""]) => text.replaceAll(from, to), DEFINITIONS);

/** Privileges in a fixed order, because a restore grants them in another order. */
function sortedAcl(column: string): string {
  return `(select string_agg(item::text, ',' order by item::text) from unnest(${column}) item)`;
}
