import { cutsOf } from "../archive/cuts.ts";
import type { ArchiveContents, ArchiveEntry } from "../archive/format.ts";
import { lonePartitions } from "../archive/inheritance.ts";
import { DEPENDENT_KINDS, type Selection, selectedEntries } from "../archive/selection.ts";
import { entryName } from "../archive/table-parts.ts";
import type { Connection } from "../connection.ts";
import type { LeftOutOfDump } from "../counts/left-out.ts";
import type { LeftOut } from "./left-out.ts";
import { nameInText } from "./left-out.ts";
import type { Reduced } from "./ownership.ts";

type Dependents = NonNullable<LeftOutOfDump["dependents"]>;
type Relation = Dependents[number]["needs"][number];

/** Parts that go with their view, and are not worth a line of their own. */
const OWN_PARTS = [...DEPENDENT_KINDS, "MATERIALIZED VIEW DATA", "INDEX", "INDEX ATTACH", "DEFAULT"].concat([
  "RULE",
  "TRIGGER",
  "STATISTICS",
]);
/** Never left out for a view or a function: rows would go with them. Those of a child that cannot be made go with it. */
const KEPT = ["TABLE", "TABLE DATA", "FOREIGN TABLE", "SEQUENCE", "SEQUENCE SET", "SEQUENCE OWNED BY"];
const TABLES = ["TABLE", "FOREIGN TABLE", "SEQUENCE"];
const PARTS_OF_TABLE = ["TABLE DATA", "SEQUENCE", "SEQUENCE OWNED BY", "SEQUENCE SET", "CONSTRAINT"];

/**
 * Leaves out the views, foreign keys, rules, policies, functions and inheritance children that need tables which the config left out of the dump, unless
 * the target has these; with them everything that needs such a view. Lists those that are selected. `target`: undefined
 * if the database is new.
 */
export async function withoutLacking(
  target: Connection | undefined,
  { contents, left_out }: Reduced,
  dependents: Dependents | undefined,
  selection: Selection,
): Promise<Reduced> {
  const isOther = selection.only === "data" || selection.intoSchema !== undefined;
  if (dependents === undefined || dependents.length === 0 || isOther) return { contents, left_out };
  const selected = new Set(
    selectedEntries(contents, selection, cutsOf(contents, selection)).map(({ id }) => id),
  );
  const lacking = lackingOf(
    dependents,
    await presentOf(
      target,
      dependents.flatMap(({ needs }) => needs),
    ),
  );
  const removed = new Set<number>();
  const listed: LeftOut[] = [];
  const remove = (entry: ArchiveEntry, why: string) => {
    removed.add(entry.id);
    if (selected.has(entry.id))
      listed.push({ entry: entryName(entry), reason: why, table: null, sql: entry.definition.trim() });
  };
  for (const entry of contents.entries) {
    const needs = lacking.get(keyOf(entry.description, entry.namespace ?? "", entry.tag));
    if (needs !== undefined)
      remove(entry, `it needs ${needs}, which the backup is without, and the target lacks it`);
  }
  const byId = new Map(contents.entries.map((entry) => [entry.id, entry]));
  for (let before = -1; before !== removed.size; ) {
    before = removed.size;
    for (const entry of contents.entries) {
      if (removed.has(entry.id)) continue;
      const gone = entry.dependencies.flatMap((id) => (removed.has(id) ? (byId.get(id) ?? []) : []));
      const needed = gone.find(({ description }) => description !== "SEQUENCE") ?? gone[0];
      if (needed === undefined) continue;
      const isOfChild = TABLES.includes(needed.description) && PARTS_OF_TABLE.includes(entry.description);
      if (isOfChild) removed.add(entry.id);
      if (isOfChild || KEPT.includes(entry.description)) continue;
      // The default of another table's column may need the sequence.
      if (OWN_PARTS.includes(entry.description) && needed.description !== "SEQUENCE") removed.add(entry.id);
      else remove(entry, `it needs ${nameInText(needed)}, which is left out`);
    }
  }
  const entries = contents.entries.filter(({ id }) => !removed.has(id));
  return { contents: { ...contents, entries }, left_out: [...left_out, ...listed] };
}

/**
 * Makes partitions tables of their own if the config left the table that they belong to out of the dump, and the target
 * lacks it. Copies in another
 * schema are never attached to a table of the target.
 */
export async function withoutAttaching(
  target: Connection | undefined,
  contents: ArchiveContents,
  left: LeftOutOfDump | undefined,
  { intoSchema }: Selection,
): Promise<ArchiveContents> {
  const found = lonePartitions(contents, left).map(({ parent: { namespace = "", tag }, attach }) => ({
    ...{ parent: { schema: namespace, name: tag }, attach },
  }));
  if (found.length === 0) return contents;
  const isCopy = intoSchema !== undefined;
  const present = isCopy
    ? new Set()
    : await presentOf(
        target,
        found.map(({ parent }) => parent),
      );
  const removed = new Set(
    found.flatMap(({ parent, attach }) => (present.has(relationKey(parent)) ? [] : attach)),
  );
  return { ...contents, entries: contents.entries.filter((entry) => !removed.has(entry)) };
}

/** Those that cannot be made, with what they need. A view among them that can be made is there for the others. */
function lackingOf(dependents: Dependents, present: ReadonlySet<string>): Map<string, string> {
  const lacking = new Map<string, string>();
  const views = new Map(
    dependents.flatMap((one) =>
      /VIEW$|TABLE$/.test(one.kind)
        ? [[relationKey(one), keyOf(one.kind, one.schema, one.name)] as const]
        : [],
    ),
  );
  const isLacking = (need: Relation) => {
    if (present.has(relationKey(need))) return false;
    const view = views.get(relationKey(need));
    return view === undefined || lacking.has(view);
  };
  for (let before = -1; before !== lacking.size; ) {
    before = lacking.size;
    for (const { kind, schema, name, needs } of dependents) {
      const missing = needs.filter(isLacking).map((need) => `${need.schema}.${need.name}`);
      if (missing.length > 0) lacking.set(keyOf(kind, schema, name), missing.join(" and "));
    }
  }
  return lacking;
}

/** The keys of all relations in these schemas of the target. */
async function presentOf(
  target: Connection | undefined,
  relations: readonly Relation[],
): Promise<Set<string>> {
  if (target === undefined) return new Set();
  const schemas = JSON.stringify([...new Set(relations.map(({ schema }) => schema))]);
  const rows = await target.run(
    "look for tables that the backup is without",
    (sql) => sql<Relation[]>`
      select n.nspname as schema, c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where c.relkind in ('r', 'p', 'f', 'v', 'm')
        and n.nspname in (select json_array_elements_text(${schemas}::text::json))`,
  );
  return new Set(rows.map(relationKey));
}

function relationKey({ schema, name }: Relation): string {
  return JSON.stringify([schema, name]);
}

function keyOf(kind: string, schema: string, name: string): string {
  return JSON.stringify([kind, schema, name]);
}
