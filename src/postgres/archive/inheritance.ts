import type { ArchiveContents, ArchiveEntry } from "./format.ts";
import { tokensOf } from "./sql-text.ts";

/** Kinds with their own rows, or that stand for the rows of other tables. */
export function isTable({ description }: ArchiveEntry): boolean {
  return description === "TABLE" || description === "FOREIGN TABLE";
}

export type Name = Pick<ArchiveEntry, "namespace" | "tag">;

export function isSameName(one: Name, other: Name): boolean {
  return one.namespace === other.namespace && one.tag === other.tag;
}

/** Tables that are not selected themselves but hold rows of a selected table. */
export function heirs(
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

/** The ids of the tables that each partition is attached to: it depends on them in the archive, but is a table without them. */
export function attachedTo({ entries }: ArchiveContents): ReadonlyMap<number, readonly number[]> {
  const tables = new Map(entries.filter(isTable).map((entry) => [entry.id, entry]));
  const pairs = entries
    .filter(({ description }) => description === "TABLE ATTACH")
    .flatMap((entry) => descents(entry, tables));
  const parents = new Map<number, number[]>();
  for (const [parent, { id }] of pairs) parents.set(id, [...(parents.get(id) ?? []), parent]);
  return parents;
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

/** The tables in the INHERITS list of a CREATE TABLE. */
export function inheritedNames(definition: string): Name[] {
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

/** Whether an entry holds the rows of one of these tables. */
export function isDataOf(
  { description, dependencies, namespace, tag }: ArchiveEntry,
  tables: ReadonlyMap<number, ArchiveEntry>,
): boolean {
  if (description !== "TABLE DATA") return false;
  return dependencies.some((id) => {
    const table = tables.get(id);
    return table !== undefined && isSameName({ namespace, tag }, table);
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

/** A partition in an archive without the table that it belongs to, and the entries that attach it and its indexes. */
interface LonePartition {
  parent: Name;
  attach: ArchiveEntry[];
}

/** The tables that the config left out of a dump; some of them only counted. */
interface TablesLeftOut {
  tables: readonly { schema: string; name: string }[];
  tables_omitted: number;
}

/**
 * Those whose parents the config left out of the dump: each is a table without the rest. The archive also lacks parents
 * that come with an extension.
 */
export function lonePartitions(
  { entries }: ArchiveContents,
  left: TablesLeftOut | undefined,
): LonePartition[] {
  if (left === undefined) return [];
  const isLeftOut = ({ namespace, tag }: Name) =>
    left.tables_omitted > 0 || left.tables.some(({ schema, name }) => schema === namespace && name === tag);
  const byId = new Map(entries.map((entry) => [entry.id, entry]));
  const needed = ({ dependencies }: ArchiveEntry) => dependencies.flatMap((id) => byId.get(id) ?? []);
  // The index of a table that is in the archive is named beside that of the partition.
  const ofIndexes = entries.flatMap((entry) => {
    const [index, ...others] = entry.description === "INDEX ATTACH" ? needed(entry).filter(isIndex) : [];
    return index !== undefined && others.length === 0 ? [{ entry, index }] : [];
  });
  return entries.flatMap((entry) => {
    const [table, ...others] = entry.description === "TABLE ATTACH" ? needed(entry).filter(isTable) : [];
    if (table === undefined || others.length > 0 || !isSameName(table, entry)) return [];
    const indexes = ofIndexes.filter(({ index }) => index.dependencies.includes(table.id));
    const parent = attachedName(entry);
    return isLeftOut(parent) ? [{ parent, attach: [entry, ...indexes.map((one) => one.entry)] }] : [];
  });
}

export function isIndex({ description }: ArchiveEntry): boolean {
  return description === "INDEX" || description === "CONSTRAINT";
}

/** The table in `ALTER TABLE ONLY public.ev ATTACH PARTITION public.ev_1 FOR VALUES …`. */
function attachedName({ definition }: ArchiveEntry): Name {
  const tokens = tokensOf(definition);
  const at = tokens.findIndex(({ kind, value }) => kind === "symbol" && value === ".");
  return { namespace: tokens[at - 1]?.value, tag: tokens[at + 1]?.value ?? "" };
}
