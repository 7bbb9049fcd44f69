import { Pg321Error } from "../../base/errors.ts";
import { closest } from "../../base/text/suggest.ts";
import type { ArchiveContents, ArchiveEntry } from "./format.ts";
import { tokensOf } from "./sql-text.ts";
import { tableOf } from "./table-parts.ts";

/** The part of an archive to restore; everything if nothing is named. */
export interface Selection {
  schemas: readonly string[];
  tables: readonly string[];
}

export const EVERYTHING: Selection = { schemas: [], tables: [] };

export function isWhole({ schemas, tables }: Selection): boolean {
  return schemas.length + tables.length === 0;
}

/** Whether an entry belongs to the database itself and is applied only when that is created. */
export function isOfDatabase({ description, tag }: ArchiveEntry): boolean {
  if (description === "DATABASE" || description === "DATABASE PROPERTIES") return true;
  return DEPENDENT_KINDS.includes(description) && tag.startsWith("DATABASE ");
}

/** Kinds with their own rows, or that stand for the rows of other tables. */
const TABLES = ["TABLE", "FOREIGN TABLE"];
/** Kinds that `--table` selects, like that option of pg_restore. */
const TABLE_KINDS = [...TABLES, "TABLE DATA", "VIEW", "MATERIALIZED VIEW", "MATERIALIZED VIEW DATA"].concat(
  "SEQUENCE",
  "SEQUENCE SET",
);
/** Kinds that are selected together with the object that they describe. */
export const DEPENDENT_KINDS = ["ACL", "COMMENT", "SECURITY LABEL"];
/** Kinds that are selected if all the objects that they connect are. */
const ATTACH_KINDS = ["TABLE ATTACH", "INDEX ATTACH"];
/**
 * The entries that a restore of the selection runs, in the archive's order, without those of the database itself. A
 * table brings its parts (keys, defaults, owned sequences, indexes, triggers …), its partitions and the tables that
 * inherit from it, at any depth and in any schema, since their rows are rows of the table; a partition whose parent is
 * not selected is restored unattached.
 */
export function selectedEntries(contents: ArchiveContents, selection: Selection): ArchiveEntry[] {
  const entries = contents.entries.filter((entry) => !isOfDatabase(entry));
  if (isWhole(selection)) return entries;
  const named = entries.filter((entry) => isNamed(entry, selection));
  const ids = new Set(named.map(({ id }) => id));
  const children = heirs(contents, ids);
  for (const id of children.keys()) ids.add(id);
  const byId = new Map(contents.entries.map((entry) => [entry.id, entry]));
  // With `--table` all parts of each table; those of a whole schema are selected by its name.
  const hasParts = ({ id }: ArchiveEntry) => (selection.tables.length > 0 ? ids : children).has(id);
  for (const entry of entries) {
    const table = tableOf(entry, byId);
    if (table ? hasParts(table) : isDataOf(entry, children)) ids.add(entry.id);
  }
  // These come after the entries that they depend on.
  for (const { id, description, dependencies } of entries) {
    if (![...DEPENDENT_KINDS, ...ATTACH_KINDS, "SEQUENCE SET"].includes(description)) continue;
    if (dependencies.length > 0 && dependencies.every((one) => ids.has(one))) ids.add(id);
  }
  return entries.filter(({ id }) => ids.has(id));
}

function isNamed({ description, namespace, tag }: ArchiveEntry, { schemas, tables }: Selection): boolean {
  if (DEPENDENT_KINDS.includes(description) || ATTACH_KINDS.includes(description)) return false;
  if (schemas.length > 0 && !schemas.includes(namespace ?? "")) return false;
  return tables.length === 0 || (TABLE_KINDS.includes(description) && tables.includes(tag));
}

/** Tables that are not selected themselves but hold rows of a selected table. */
function heirs(
  { entries }: ArchiveContents,
  selected: ReadonlySet<number>,
): ReadonlyMap<number, ArchiveEntry> {
  const tables = new Map(entries.filter(isTable).map((entry) => [entry.id, entry]));
  const pairs = entries.flatMap((entry) => descents(entry, tables));
  const children = Map.groupBy(pairs, ([parent]) => parent);
  const found = new Map<number, ArchiveEntry>();
  const pending = [...selected];
  for (let id = pending.pop(); id !== undefined; id = pending.pop()) {
    for (const [, child] of children.get(id) ?? []) {
      if (selected.has(child.id) || found.has(child.id)) continue;
      found.set(child.id, child);
      pending.push(child.id);
    }
  }
  return found;
}

/** The pairs of parent and child that an entry shows. */
function descents(entry: ArchiveEntry, tables: ReadonlyMap<number, ArchiveEntry>): [number, ArchiveEntry][] {
  const related = entry.dependencies.flatMap((id) => tables.get(id) ?? []);
  if (entry.description === "TABLE ATTACH") {
    const child = related.find((table) => isSameName(table, entry));
    return child ? related.filter(({ id }) => id !== child.id).map(({ id }) => [id, child]) : [];
  }
  if (!isTable(entry) || related.length === 0) return [];
  const parents = inheritedNames(entry.definition);
  return related
    .filter((table) => parents.some((name) => isSameName(table, name)))
    .map(({ id }) => [id, entry]);
}

function isTable({ description }: ArchiveEntry): boolean {
  return TABLES.includes(description);
}

type Name = Pick<ArchiveEntry, "namespace" | "tag">;

function isSameName(one: Name, other: Name): boolean {
  return one.namespace === other.namespace && one.tag === other.tag;
}

/** The tables in the INHERITS list of a CREATE TABLE. */
function inheritedNames(definition: string): Name[] {
  const names: Name[] = [];
  const tokens = tokensOf(definition);
  let depth = 0;
  let isInside = false;
  tokens.forEach(({ kind, value }, i) => {
    if (kind === "symbol" && value === "(") {
      const before = tokens[i - 1];
      if (depth === 0) isInside = before?.kind === "word" && before.value === "inherits";
      depth++;
    } else if (kind === "symbol" && value === ")") depth--;
    else if (isInside && depth === 1 && value === ".")
      names.push({ namespace: tokens[i - 1]?.value, tag: tokens[i + 1]?.value ?? "" });
  });
  return names;
}

function isDataOf(
  { description, dependencies, namespace, tag }: ArchiveEntry,
  children: ReadonlyMap<number, ArchiveEntry>,
): boolean {
  if (description !== "TABLE DATA") return false;
  return dependencies.some((id) => {
    const child = children.get(id);
    return child !== undefined && isSameName({ namespace, tag }, child);
  });
}

/** The partitions restored without the table that they are part of, as `schema.table`. */
export function unattached({ entries }: ArchiveContents, selected: readonly ArchiveEntry[]): string[] {
  const ids = new Set(selected.map(({ id }) => id));
  const tables = new Map(selected.filter(isTable).map((entry) => [entry.id, entry]));
  return entries
    .filter(({ id, description }) => description === "TABLE ATTACH" && !ids.has(id))
    .filter((entry) =>
      entry.dependencies.some((id) => {
        const table = tables.get(id);
        return table !== undefined && isSameName(table, entry);
      }),
    )
    .map(({ namespace, tag }) => `${namespace}.${tag}`);
}

/** Number of tables that the entries create or fill; partitions and their parents each count. */
export function tableCount(entries: readonly ArchiveEntry[]): number {
  return entries.filter(isTable).length;
}

/**
 * Refuses (code `usage`) a selection with names that the archive does not contain: pg_restore would restore nothing
 * of them and succeed.
 */
export function requireSelected(contents: ArchiveContents, selection: Selection): void {
  const inSchemas = contents.entries.filter((entry) => isNamed(entry, { ...selection, tables: [] }));
  const tables = inSchemas
    .filter(({ description }) => TABLE_KINDS.includes(description))
    .map(({ tag }) => tag);
  const schemas = contents.entries.flatMap(({ namespace }) => namespace ?? []);
  for (const [what, wanted, present] of [
    ["schema", selection.schemas, schemas],
    ["table", selection.tables, tables],
  ] as const) {
    const unknown = wanted.find((name) => !present.includes(name));
    if (unknown === undefined) continue;
    const suggestion = closest(unknown, present);
    const named = unknown.includes(".")
      ? "give the table without its schema, and the schema with --schema; "
      : "";
    throw new Pg321Error("usage", `the backup contains no ${what} "${unknown}"`, {
      hint: suggestion
        ? `did you mean ${suggestion}?`
        : `${named}list its contents with: pg321 restore ID --output FILE; pg_restore --list FILE`,
    });
  }
}
