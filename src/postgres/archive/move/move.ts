import { Pg321Error } from "../../../base/errors.ts";
import type { TextEdit } from "../data.ts";
import type { ArchiveContents, ArchiveEntry } from "../format.ts";
import { attachedTo, inheritedNames, isSameName } from "../inheritance.ts";
import { quoteIdentifier } from "../sql-text.ts";
import { isRelation, tableOf } from "../table-parts.ts";
import type { IsMoved } from "./statements.ts";
import { movedAttach, movedConstraint, movedCopy, movedIndex, movedTable, NotMovable } from "./statements.ts";

/** Entries of an archive as objects of another schema. */
export interface Moved {
  schema: string;
  isMoved: IsMoved;
  /** With the new schema and statements, without owner and tablespace. */
  entries: ArchiveEntry[];
  /** Entries that cannot be moved safely, and why: then nothing is restored. */
  refused: { entry: ArchiveEntry; reason: string }[];
  /** Entries that stay behind, such as triggers. */
  left: ArchiveEntry[];
}

/**
 * Rewrites tables, their rows, keys and indexes for another schema, each from a form of statement that is known, and
 * leaves everything else behind: what can reach a live object is never restored. docs/adr/0038 explains why.
 */
export function moveInto(
  contents: ArchiveContents,
  selected: readonly ArchiveEntry[],
  schema: string,
): Moved {
  const tables = selected.filter(({ description }) => description === "TABLE");
  const names = new Set(tables.map(({ namespace, tag }) => `${namespace}\0${tag}`));
  const isMoved: IsMoved = (namespace, name) => names.has(`${namespace}\0${name}`);
  const moved: Moved = { schema, isMoved, entries: [], refused: [], left: [] };
  const refuseUnsafe = safety(contents, tables);
  const byId = new Map(contents.entries.map((entry) => [entry.id, entry]));
  for (const entry of selected) {
    try {
      refuseUnsafe(entry);
      const change = isOfOther(entry, byId) ? undefined : changeOf(entry, schema, isMoved);
      if (!change) moved.left.push(entry);
      else
        moved.entries.push({
          ...entry,
          ...change,
          namespace: schema,
          owner: undefined,
          tablespace: undefined,
        });
    } catch (error) {
      if (!(error instanceof NotMovable)) throw error;
      moved.refused.push({ entry, reason: error.message });
    }
  }
  return moved;
}

/** Whether an entry is a part of a view or of a foreign table, or attaches one. */
function isOfOther(entry: ArchiveEntry, byId: ReadonlyMap<number, ArchiveEntry>): boolean {
  const table = tableOf(entry, byId);
  if (table) return table.description !== "TABLE";
  const isForeign = (id: number) => byId.get(id)?.description === "FOREIGN TABLE";
  return entry.description === "TABLE ATTACH" && entry.dependencies.some(isForeign);
}

type Change = Pick<ArchiveEntry, "definition" | "copy">;

function changeOf(entry: ArchiveEntry, schema: string, isMoved: IsMoved): Change | undefined {
  const { description, definition, copy, namespace = "", tag } = entry;
  if (description === "TABLE") return { definition: movedTable(definition, schema, isMoved) };
  if (description === "TABLE DATA") {
    if (!isMoved(namespace, tag)) return undefined;
    // Without a statement the rows are in another archive: see `editsOfRows`.
    return { definition: "", ...(copy !== undefined && { copy: movedCopy(copy, schema, isMoved) }) };
  }
  if (description === "INDEX") return { definition: movedIndex(definition, schema, isMoved) };
  if (description === "TABLE ATTACH" || description === "INDEX ATTACH")
    return { definition: movedAttach(definition, schema, isMoved) };
  const constraint = description === "CONSTRAINT" ? movedConstraint(definition, schema, isMoved) : undefined;
  return constraint === undefined ? undefined : { definition: constraint };
}

/** Returns a check that throws for a table that cannot be moved. */
function safety(contents: ArchiveContents, tables: readonly ArchiveEntry[]): (entry: ArchiveEntry) => void {
  const byId = new Map(contents.entries.map((entry) => [entry.id, entry]));
  const sameName = Map.groupBy(tables, ({ tag }) => tag);
  const partitionOf = attachedTo(contents);
  return (entry) => {
    if (entry.description !== "TABLE") return;
    const other = sameName.get(entry.tag)?.find(({ id }) => id < entry.id);
    if (other) throw new NotMovable(`table ${other.namespace}.${other.tag} has the same name`);
    const parents = inheritedNames(entry.definition);
    for (const id of entry.dependencies) {
      const needed = byId.get(id);
      if (!needed || !isRelation(needed) || partitionOf.get(entry.id)?.includes(id)) continue;
      // A column of its row type would bind the live table: PostgreSQL then refuses to alter it.
      if (!parents.some((name) => isSameName(needed, name)))
        throw new NotMovable(`it uses the row type of ${needed.namespace}.${needed.tag}`);
    }
  };
}

/** The changes to the archive's table of contents; with `isNew`, the first table's statement also creates the schema. */
export function editsOf({ entries, schema }: Moved, isNew: boolean): TextEdit[] {
  const first = entries.find(({ description }) => description === "TABLE");
  const create = `CREATE SCHEMA ${quoteIdentifier(schema)};\n`;
  return entries.flatMap((entry) => {
    const { ranges, copy, definition } = entry;
    if (!ranges) return [];
    return [
      { range: ranges.definition, text: `${isNew && entry === first ? create : ""}${definition}` },
      { range: ranges.namespace, text: schema },
      ...(copy ? [{ range: ranges.copy, text: copy }] : []),
    ];
  });
}

/** The changes to an archive of rows only, one of several streams. */
export function editsOfRows(moved: Moved, rows: readonly ArchiveEntry[]): TextEdit[] {
  const { schema, isMoved } = moved;
  const entries = rows.map((entry) => {
    const { namespace = "", tag, copy = "" } = entry;
    if (entry.description !== "TABLE DATA" || !isMoved(namespace, tag)) throw notRows(entry);
    try {
      return { ...entry, definition: "", copy: movedCopy(copy, schema, isMoved) };
    } catch (error) {
      throw error instanceof NotMovable ? notRows(entry, error.message) : error;
    }
  });
  return editsOf({ ...moved, entries }, false);
}

function notRows({ description, namespace, tag }: ArchiveEntry, why = "it is of another kind"): Pg321Error {
  return new Pg321Error("database", `${description} ${namespace}.${tag} cannot be moved: ${why}`, {
    hint: "restore the table into a new database with --create",
  });
}
