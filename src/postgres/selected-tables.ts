import { Pg321Error } from "../base/errors.ts";
import { isForIncludedTables, WITHOUT_INCLUDED_TABLES } from "../config/database/dump-options.ts";
import type { SelectionSettings } from "../config/database/settings.ts";
import type { SchemaPattern, TablePattern } from "../config/database/table-pattern.ts";
import { quotedName, schemaPattern, tablePattern } from "../config/database/table-pattern.ts";
import type { Connection } from "./connection.ts";
import { dependentsOf } from "./counts/dependents.ts";
import type { LeftOutOfDump } from "./counts/left-out.ts";
import { selectionKey } from "./counts/left-out.ts";
import { patternsFor } from "./parallel-dump/patterns.ts";

/** The parts of a database that its config selects for a dump. */
export interface SelectedTables {
  /** Options of pg_dump. */
  args: string[];
  /** Those that also hold for a stream of a dump in several streams, which names its tables itself. */
  streamArgs: string[];
  /** Whether the dump has the rows of a table, or the value of a sequence. */
  hasRows(schema: string, name: string): boolean;
  /** Whether the dump has every object of the database, at least its definition. */
  hasEveryObject: boolean;
  left_out: LeftOutOfDump;
}

interface Relation {
  oid: number;
  schema: string;
  name: string;
  kind: string;
  isUnlogged: boolean;
  /** Of a partition. */
  parent: number | null;
  /** The table of an owned sequence. */
  owner: number | null;
}

/** Tables whose names a record lists; the others are only counted. */
const LISTED_MAX = 200;

/** pg_dump options that leave large objects out, or take them along with a selection. */
const WITHOUT_LARGE_OBJECTS = ["--no-large-objects", "--no-blobs"];
const WITHOUT_UNLOGGED_DATA = "--no-unlogged-table-data";
const WITH_LARGE_OBJECTS = ["--large-objects", "--blobs"];

/** Undefined if all of the database is dumped, without further options. Throws code `database` if nothing is left. */
export async function selectTables(
  connection: Connection,
  settings: SelectionSettings,
): Promise<SelectedTables | undefined> {
  if (isEverything(settings)) return undefined;
  refuseExtensionsAlone(connection, settings);
  const relations = await listRelations(connection);
  const chosen = new Chosen(relations, settings);
  if (chosen.isEmpty)
    throw new Pg321Error(
      "database",
      `${connection.endpoint.label}: the [[database]] tables leave nothing to dump`,
      {
        hint: hintForNothing(settings),
      },
    );
  return {
    args: chosen.args(),
    streamArgs: settings.pg_dump_options.filter((option) => !isOfContents(option)),
    hasRows: (schema, name) => chosen.hasRows(schema, name),
    hasEveryObject: chosen.hasEveryObject,
    left_out: { ...chosen.leftOut(), ...(await dependentsOf(connection, chosen.absent())) },
  };
}

/** Tables of the config may give one database the option, and another one's schemas. */
function refuseExtensionsAlone(
  { endpoint }: Connection,
  { include_tables, pg_dump_options }: SelectionSettings,
): void {
  if (include_tables.length > 0) return;
  for (const option of pg_dump_options)
    if (isForIncludedTables(option))
      throw new Pg321Error("usage", `${endpoint.label}: ${option} is refused: ${WITHOUT_INCLUDED_TABLES}`, {
        hint: "correct pg_dump_options or include_tables in the [[database]] tables: pg321 check shows which line holds",
      });
}

function hintForNothing(settings: SelectionSettings): string {
  const { include_schemas, include_tables, exclude_schemas, exclude_tables } = settings;
  const quoted = (list: readonly string[]) => list.map((one) => `"${one}"`).join(", ");
  const excluded = quoted([...exclude_schemas, ...exclude_tables]);
  const included = quoted([...include_schemas, ...include_tables]);
  if (included === "")
    return `${excluded} excludes everything: correct exclude_schemas or exclude_tables in the config, or exclude the database`;
  if (excluded === "")
    return `nothing matches ${included}: correct include_schemas or include_tables in the config`;
  return `nothing that matches ${included} is left without ${excluded}: correct these patterns in the config`;
}

function isEverything({ schema_only, ...lists }: SelectionSettings): boolean {
  return !schema_only && Object.values(lists).every((list) => list.length === 0);
}

/** Whether an option chooses what is dumped, not how. */
function isOfContents(option: string): boolean {
  const choices = [...WITHOUT_LARGE_OBJECTS, ...WITH_LARGE_OBJECTS];
  return choices.includes(option) || /^--(extension|include-foreign-data)=/.test(option);
}

type Patterns = Record<"include_schemas" | "exclude_schemas", readonly SchemaPattern[]> &
  Record<"include_tables" | "exclude_tables" | "exclude_table_data", readonly TablePattern[]>;

class Chosen {
  readonly #settings: SelectionSettings;
  readonly #patterns: Patterns;
  readonly #relations: readonly Relation[];
  readonly #included: ReadonlySet<Relation> | undefined;
  readonly #excluded: ReadonlySet<Relation>;
  readonly #withoutRows: ReadonlySet<Relation>;
  readonly #byName: ReadonlyMap<string, Relation>;

  constructor(relations: readonly Relation[], settings: SelectionSettings) {
    this.#settings = settings;
    this.#relations = relations;
    this.#byName = new Map(relations.map((one) => [JSON.stringify([one.schema, one.name]), one]));
    const include_tables = settings.include_tables.map(tablePattern);
    const exclude_tables = settings.exclude_tables.map(tablePattern);
    const exclude_table_data = settings.exclude_table_data.map(tablePattern);
    this.#patterns = {
      ...{ include_tables, exclude_tables, exclude_table_data },
      include_schemas: settings.include_schemas.map(schemaPattern),
      exclude_schemas: settings.exclude_schemas.map(schemaPattern),
    };
    this.#included = include_tables.length > 0 ? this.#withParts(include_tables) : undefined;
    this.#excluded = this.#withParts(exclude_tables);
    this.#withoutRows = this.#withParts(exclude_table_data);
  }

  /** The relations that match, their partitions at any depth, and the sequences that they own. */
  #withParts(patterns: readonly TablePattern[]): Set<Relation> {
    const found = this.#relations.filter(
      ({ schema, name }) => name !== "" && matchesAny(patterns, schema, name),
    );
    const oids = new Set(found.map(({ oid }) => oid));
    const isPart = ({ oid, parent, owner }: Relation) =>
      !oids.has(oid) && ((parent !== null && oids.has(parent)) || (owner !== null && oids.has(owner)));
    for (let more = this.#relations.filter(isPart); more.length > 0; more = this.#relations.filter(isPart))
      for (const { oid } of more) oids.add(oid);
    return new Set(this.#relations.filter(({ oid }) => oids.has(oid)));
  }

  get hasEveryObject(): boolean {
    const { include_schemas, include_tables, exclude_schemas, exclude_tables } = this.#settings;
    return [include_schemas, include_tables, exclude_schemas, exclude_tables].every(
      ({ length }) => length === 0,
    );
  }

  get isEmpty(): boolean {
    const { include_schemas, include_tables } = this.#settings;
    if (this.#relations.some((one) => this.#isIn(one))) return false;
    return include_tables.length > 0 || include_schemas.length > 0 || this.#relations.length > 0;
  }

  #schemas(): string[] {
    return [...new Set(this.#relations.map(({ schema }) => schema))];
  }

  /** The schemas that `include_schemas` does not name. */
  #absentSchemas(): string[] {
    const { include_schemas } = this.#patterns;
    if (include_schemas.length === 0) return [];
    return this.#schemas().filter((schema) => !include_schemas.some(({ matches }) => matches(schema)));
  }

  #isInSchema(schema: string): boolean {
    const { include_schemas, exclude_schemas } = this.#patterns;
    const matches = (pattern: SchemaPattern) => pattern.matches(schema);
    return (include_schemas.length === 0 || include_schemas.some(matches)) && !exclude_schemas.some(matches);
  }

  #isIn(relation: Relation): boolean {
    if (this.#excluded.has(relation) || !this.#isInSchema(relation.schema)) return false;
    return this.#included?.has(relation) ?? true;
  }

  #named(schema: string, name: string): Relation | undefined {
    return this.#byName.get(JSON.stringify([schema, name]));
  }

  /** A table made since the list was read is judged by the patterns alone, like by pg_dump. */
  isDumped(schema: string, name: string): boolean {
    const relation = this.#named(schema, name);
    if (relation) return this.#isIn(relation);
    const { include_tables, exclude_tables } = this.#patterns;
    if (!this.#isInSchema(schema) || matchesAny(exclude_tables, schema, name)) return false;
    return include_tables.length === 0 || matchesAny(include_tables, schema, name);
  }

  /** The OIDs of the relations that are not dumped. */
  absent(): number[] {
    return this.#relations.flatMap((one) => (one.oid === 0 || this.#isIn(one) ? [] : one.oid));
  }

  #isWithoutRows(relation: Relation): boolean {
    if (relation.isUnlogged && this.#settings.pg_dump_options.includes(WITHOUT_UNLOGGED_DATA)) return true;
    return this.#withoutRows.has(relation);
  }

  /** The rows of a table, or the value of a sequence. */
  hasRows(schema: string, name: string): boolean {
    if (this.#settings.schema_only || !this.isDumped(schema, name)) return false;
    const relation = this.#named(schema, name);
    if (relation) return !this.#isWithoutRows(relation);
    return !matchesAny(this.#patterns.exclude_table_data, schema, name);
  }

  args(): string[] {
    const { schema_only, pg_dump_options } = this.#settings;
    const { exclude_schemas, include_tables, exclude_tables, exclude_table_data } = this.#patterns;
    // pg_dump ignores both options of schemas beside --table. With --schema it would leave out extensions and large
    // objects, and write a `CREATE SCHEMA public` that fails everywhere.
    const ofSchemas = this.#included
      ? exclude_schemas.map((one) => `--exclude-table=${one.argument}.*`)
      : [
          ...exclude_schemas.map((one) => `--exclude-schema=${one.argument}`),
          ...this.#absentSchemas().map((one) => `--exclude-schema=${quotedName(one)}`),
        ];
    return [
      ...ofSchemas,
      ...tableArgs("--table", include_tables, this.#included ?? new Set()),
      ...tableArgs("--exclude-table", exclude_tables, this.#excluded),
      ...tableArgs("--exclude-table-data", exclude_table_data, this.#withoutRows),
      ...(schema_only ? ["--schema-only"] : []),
      ...pg_dump_options,
    ];
  }

  leftOut(): LeftOutOfDump {
    const { schema_only, pg_dump_options, include_schemas, include_tables, ...rest } = this.#settings;
    const isSelection = include_tables.length > 0;
    const tables = this.#relations.filter(({ kind }) => TABLE_KINDS.includes(kind));
    const absent = tables.filter((one) => !this.#isIn(one));
    const empty = tables.filter(
      (one) => one.kind === "r" && this.#isIn(one) && !schema_only && this.#isWithoutRows(one),
    );
    const has = (options: readonly string[]) => options.some((one) => pg_dump_options.includes(one));
    const lists = { include_schemas, include_tables, ...rest };
    const settings = Object.fromEntries(
      Object.entries(lists).flatMap(([key, list]) => (list.length > 0 ? [[key, [...list]]] : [])),
    );
    const options = [...pg_dump_options];
    return {
      key: selectionKey({ settings, schema_only, options }),
      ...{ settings, schema_only, options },
      tables: absent.slice(0, LISTED_MAX).map(textOf),
      tables_omitted: Math.max(0, absent.length - LISTED_MAX),
      rows_of: empty.slice(0, LISTED_MAX).map(textOf),
      rows_of_omitted: Math.max(0, empty.length - LISTED_MAX),
      large_objects: schema_only || has(WITHOUT_LARGE_OBJECTS) || (isSelection && !has(WITH_LARGE_OBJECTS)),
      extensions: isSelection && !pg_dump_options.some((one) => one.startsWith("--extension=")),
      unmatched: this.#unmatched(),
    };
  }

  #unmatched(): string[] {
    const { include_tables, exclude_tables, exclude_table_data, include_schemas, exclude_schemas } =
      this.#patterns;
    const isIdle = ({ matches }: TablePattern) =>
      !this.#relations.some(({ schema, name }) => matches(schema, name));
    const schemas = this.#schemas();
    const isIdleSchema = ({ matches }: SchemaPattern) => !schemas.some(matches);
    return [
      ...[...include_tables, ...exclude_tables, ...exclude_table_data].filter(isIdle),
      ...[...include_schemas, ...exclude_schemas].filter(isIdleSchema),
    ].map(({ written }) => written);
  }
}

const TABLE_KINDS = ["r", "p", "f"];

/** The patterns as pg_dump reads them, and the names of parts that they do not match themselves. */
function tableArgs(
  option: string,
  patterns: readonly TablePattern[],
  matched: ReadonlySet<Relation>,
): string[] {
  const parts = [...matched].filter(({ schema, name }) => !matchesAny(patterns, schema, name));
  return [
    ...patterns.map(({ argument }) => `${option}=${argument}`),
    ...patternsFor(parts).map((pattern) => `${option}=${pattern}`),
  ];
}

function matchesAny(patterns: readonly TablePattern[], schema: string, name: string): boolean {
  return patterns.some(({ matches }) => matches(schema, name));
}

function textOf({ schema, name }: Relation): { schema: string; name: string } {
  return { schema, name };
}

/**
 * Tables, views and sequences of users. A schema without any has one row with empty name; so has one with anything else
 * to dump: functions, types, extensions. Large objects belong to no schema and count for each.
 */
async function listRelations(connection: Connection): Promise<Relation[]> {
  const rows = await connection.run(
    "list the tables",
    (sql) => sql<
      {
        oid: string;
        schema: string;
        name: string;
        kind: string;
        unlogged: boolean;
        parent: string | null;
        owner: string | null;
      }[]
    >`
      select * from (
      select coalesce(c.oid, 0)::int8::text as oid, n.nspname as schema, coalesce(c.relname, '') as name,
        coalesce(c.relkind::text, '') as kind, coalesce(c.relpersistence = 'u', false) as unlogged,
        (select i.inhparent from pg_inherits i where i.inhrelid = c.oid and c.relispartition)::int8::text as parent,
        (select d.refobjid from pg_depend d where c.relkind = 'S' and d.classid = 'pg_class'::regclass
          and d.objid = c.oid and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i') limit 1)
          ::int8::text as owner
      from pg_namespace n left join pg_class c on c.relnamespace = n.oid and c.relkind in ('r', 'p', 'f', 'v', 'm', 'S')
        and c.relpersistence <> 't'
      where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
      union all
      select '0', n.nspname, '', '', false, null, null
      from pg_namespace n
      where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
        and exists (select from pg_class c where c.relnamespace = n.oid)
        and (exists (select from pg_largeobject_metadata) or exists (select from pg_depend d
          where d.refclassid = 'pg_namespace'::regclass and d.refobjid = n.oid and d.classid <> 'pg_class'::regclass))
      ) found order by schema collate "C", name collate "C"`,
  );
  const number = (text: string | null) => (text === null ? null : Number(text));
  return rows.map(({ oid, schema, name, kind, unlogged, parent, owner }) => ({
    ...{ oid: Number(oid), schema, name, kind, isUnlogged: unlogged },
    parent: number(parent),
    owner: number(owner),
  }));
}
