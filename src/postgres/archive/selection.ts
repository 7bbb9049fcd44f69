import type { ArchiveContents, ArchiveEntry } from "./format.ts";
import { heirs, isDataOf, isTable } from "./inheritance.ts";
import type { ObjectPattern } from "./object-pattern.ts";
import { schemaPattern, tablePattern } from "./object-pattern.ts";
import { tableOf } from "./table-parts.ts";

/** The part of an archive to restore; everything if nothing is named. Schemas and tables are patterns. */
export interface Selection {
  schemas: readonly string[];
  tables: readonly string[];
  excludeSchemas?: readonly string[];
  excludeTables?: readonly string[];
  /** Restored without their rows. */
  excludeTableData?: readonly string[];
  /** Only the rows and the positions of sequences, or everything but them. */
  only?: "data" | "schema" | undefined;
  /** Without indexes, except those of keys and other constraints. */
  withoutIndexes?: boolean;
  /** The schema of the target that gets copies of the selected tables. */
  intoSchema?: string | undefined;
}

export const EVERYTHING: Selection = { schemas: [], tables: [] };

/** Whether everything in the archive is selected. */
export function isWhole(selection: Selection): boolean {
  return !isChosen(selection) && !isCut(selection);
}

/** Whether only some schemas or tables are chosen. */
export function isChosen({ schemas, tables }: Selection): boolean {
  return schemas.length + tables.length > 0;
}

function isCut({ excludeSchemas = [], excludeTables = [], ...rest }: Selection): boolean {
  const { excludeTableData = [], only, withoutIndexes = false } = rest;
  const excluded = excludeSchemas.length + excludeTables.length + excludeTableData.length;
  return excluded > 0 || only !== undefined || withoutIndexes;
}

/** Whether an entry belongs to the database itself and is applied only when that is created. */
export function isOfDatabase({ description, tag }: ArchiveEntry): boolean {
  if (description === "DATABASE" || description === "DATABASE PROPERTIES") return true;
  return DEPENDENT_KINDS.includes(description) && tag.startsWith("DATABASE ");
}

/** Kinds that `--table` selects, like that option of pg_restore. */
export const TABLE_KINDS = ["TABLE", "FOREIGN TABLE", "TABLE DATA", "VIEW", "MATERIALIZED VIEW"].concat(
  "MATERIALIZED VIEW DATA",
  "SEQUENCE",
  "SEQUENCE SET",
);
/** Kinds that are selected together with the object that they describe. */
export const DEPENDENT_KINDS = ["ACL", "COMMENT", "SECURITY LABEL"];
/** Kinds that are selected if all the objects that they connect are. */
export const ATTACH_KINDS = ["TABLE ATTACH", "INDEX ATTACH"];
/** Settings of the dump's text, which pg_restore applies in any case. */
export const SETTINGS = ["ENCODING", "STDSTRINGS", "SEARCHPATH"];

/**
 * The entries that a restore of the selection runs, in the archive's order, without those of the database itself. A
 * table brings its parts (keys, defaults, owned sequences, indexes, triggers …), its partitions and the tables that
 * inherit from it, at any depth and in any schema, since their rows are rows of the table; a partition whose parent is
 * not selected is restored unattached. `cuts`: see `cutsOf`.
 */
export function selectedEntries(
  contents: ArchiveContents,
  selection: Selection,
  cuts: ReadonlySet<number>,
): ArchiveEntry[] {
  const entries = contents.entries.filter((entry) => !isOfDatabase(entry));
  if (isWhole(selection)) return entries;
  const ids = isChosen(selection) ? chosenIds(contents, entries, selection) : undefined;
  return entries.filter(
    ({ id, description }) => (ids?.has(id) ?? !SETTINGS.includes(description)) && !cuts.has(id),
  );
}

function chosenIds(
  contents: ArchiveContents,
  entries: readonly ArchiveEntry[],
  selection: Selection,
): ReadonlySet<number> {
  const isNamed = namedBy(contents, selection);
  const ids = new Set(entries.filter(isNamed).map(({ id }) => id));
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
  return ids;
}

export type EntryMatch = (entry: ArchiveEntry) => boolean;

/** Whether an entry is one of the schemas and tables that the selection names. */
function namedBy(contents: ArchiveContents, { schemas, tables }: Selection): EntryMatch {
  const inSchema = schemas.length === 0 ? () => true : inSchemas(schemas);
  const isTableNamed = tables.length === 0 ? () => true : ofTables(contents.entries.filter(inSchema), tables);
  return (entry) =>
    ![...DEPENDENT_KINDS, ...ATTACH_KINDS].includes(entry.description) &&
    inSchema(entry) &&
    isTableNamed(entry);
}

/** Whether an entry is in one of these schemas. */
export function inSchemas(patterns: readonly string[]): EntryMatch {
  const all = patterns.map(schemaPattern);
  return ({ namespace }) =>
    namespace !== undefined && all.some(({ matches }) => matches(undefined, namespace));
}

/** Whether an entry is one of these tables, views or sequences, or their data, as the patterns mean it among `entries`. */
export function ofTables(entries: readonly ArchiveEntry[], patterns: readonly string[]): EntryMatch {
  const all = patterns.map((written) => meaningOf(tablePattern(written), entries));
  return (entry) => isTableKind(entry) && all.some((isMatch) => isMatch(entry));
}

/** A pattern that matches nothing may still be the name of a table that contains a dot or a quote. */
export function meaningOf(pattern: ObjectPattern, entries: readonly ArchiveEntry[]): EntryMatch {
  const isMatch: EntryMatch = ({ namespace, tag }) => pattern.matches(namespace, tag);
  const isFound = entries.some((entry) => isTableKind(entry) && isMatch(entry));
  return isFound ? isMatch : ({ tag }) => pattern.isWholeName(tag);
}

export function isTableKind({ description }: ArchiveEntry): boolean {
  return TABLE_KINDS.includes(description);
}

/** Number of tables that the entries create, or fill if they hold only rows; partitions and their parents each count. */
export function tableCount(entries: readonly ArchiveEntry[], { only }: Selection = EVERYTHING): number {
  if (only !== "data") return entries.filter(isTable).length;
  return entries.filter(({ description }) => description === "TABLE DATA").length;
}
