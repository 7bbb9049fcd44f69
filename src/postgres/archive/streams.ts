import type { RowCounter } from "./data.ts";
import type { ArchiveContents, ArchiveEntry, Section } from "./format.ts";
import { isTable } from "./inheritance.ts";
import type { Selection } from "./selection.ts";
import { inSchemas, isChosen, ofTables, SETTINGS } from "./selection.ts";
import { tokensOf } from "./sql-text.ts";

/**
 * A dump of several streams: the archive of the schema, whose entries are restored before and after the rows, and the
 * archives of the rows. Each archive numbers its entries itself.
 */

/** Kinds that pg_restore restores after all others (`_tocEntryRestorePass` of pg_backup_archiver.c). */
const LAST_KINDS = ["ACL", "ACL LANGUAGE", "DEFAULT ACL", "EVENT TRIGGER", "MATERIALIZED VIEW DATA"];

/**
 * The contents of a schema's archive with entries for the rows, sequences and large objects of the other archives, as the
 * archive of one stream would have them. Their ids are not in that archive. The other archives come later, so this is what
 * the schema shows: a table may have an entry here and no rows there.
 */
export function withDataEntries(contents: ArchiveContents): ArchiveContents {
  const { entries } = contents;
  let id = Math.max(0, ...entries.map((entry) => entry.id));
  const data = entries.flatMap((entry) => {
    const description = dataKindOf(entry);
    return description === undefined ? [] : [dataEntry(++id, description, entry)];
  });
  const lob = entries.find(({ description }) => description === "BLOB" || description === "BLOB METADATA");
  if (lob) data.push({ ...dataEntry(++id, "BLOBS", lob), tag: "BLOBS" });
  const end = entries.findIndex(({ section }) => section === "post-data");
  return { ...contents, entries: entries.toSpliced(end < 0 ? entries.length : end, 0, ...data) };
}

function dataKindOf(entry: ArchiveEntry): string | undefined {
  if (entry.description === "SEQUENCE") return "SEQUENCE SET";
  if (!isTable(entry) || entry.description === "FOREIGN TABLE" || isPartitioned(entry)) return undefined;
  return "TABLE DATA";
}

function isPartitioned({ definition }: ArchiveEntry): boolean {
  if (!/\bPARTITION BY\b/.test(definition)) return false;
  let depth = 0;
  return tokensOf(definition).some(({ kind, value }, i, all) => {
    if (kind === "symbol" && value === "(") depth++;
    if (kind === "symbol" && value === ")") depth--;
    return depth === 0 && kind === "word" && value === "partition" && all[i + 1]?.value === "by";
  });
}

function dataEntry(id: number, description: string, of: ArchiveEntry): ArchiveEntry {
  const { tag, namespace, owner } = of;
  return {
    ...{ id, description, tag, namespace, section: "data", owner, tablespace: undefined },
    ...{ definition: "", drop: "", dropRange: [0, 0], dependencies: [of.id] },
  };
}

/**
 * The entries of a schema's archive to restore before the rows and after them. Privileges come after the rows, as in a
 * restore of one archive: the owner of a table may lack the right to fill it.
 */
export function aroundData(
  { entries: all }: ArchiveContents,
  entries: readonly ArchiveEntry[],
): { before: ArchiveEntry[]; after: ArchiveEntry[] } {
  const chosen = new Set(entries.map(({ id }) => id));
  const before: ArchiveEntry[] = [];
  const after: ArchiveEntry[] = [];
  let section: Section = "pre-data";
  for (const entry of all) {
    if (entry.section === "data") continue;
    section = entry.section ?? section;
    if (!chosen.has(entry.id)) continue;
    (section === "pre-data" && !LAST_KINDS.includes(entry.description) ? before : after).push(entry);
  }
  return { before, after };
}

/** What the entries of the archives of rows are chosen by. */
export interface DataChoice {
  selection: Selection;
  /** The extensions of the backup that are not restored. */
  skipped: readonly string[];
  /** The extension to which a table belongs that the schema does not show; undefined: not known. */
  extensionOf: ExtensionOf;
}

export type ExtensionOf = (entry: Pick<ArchiveEntry, "namespace" | "tag">) => string | undefined;

/** What a backup recorded about it. */
export function extensionsOf(
  recorded: readonly { schema: string; name: string; extension: string }[] = [],
): ExtensionOf {
  const known = new Map(
    recorded.map(({ schema, name, extension }) => [JSON.stringify([schema, name]), extension]),
  );
  return ({ namespace, tag }) => known.get(JSON.stringify([namespace, tag]));
}

/** Whether an entry holds the rows of a table or the position of a sequence. */
function isOfTable({ description }: ArchiveEntry): boolean {
  return description === "TABLE DATA" || description === "SEQUENCE SET";
}

/** Whether the selection excludes an entry that the schema does not show. */
function excludedBy(selection: Selection): (entry: ArchiveEntry) => boolean {
  const { excludeSchemas = [], excludeTables = [], excludeTableData = [] } = selection;
  const inExcluded = inSchemas(excludeSchemas);
  const patterns = [...excludeTables, ...excludeTableData];
  return (entry) => inExcluded(entry) || ofTables([entry], patterns)(entry);
}

/** The entries of the archives of rows, by the ids that they have in the contents of `withDataEntries`. */
export class DataIndex {
  readonly #ids: ReadonlyMap<string, number>;

  constructor({ entries }: ArchiveContents) {
    const data = entries.filter(({ section }) => section === "data");
    this.#ids = new Map(data.map((entry) => [keyOf(entry), entry.id]));
  }

  /** Undefined if the schema does not show it: the rows of an extension's table. */
  readonly idOf = (entry: ArchiveEntry): number | undefined => this.#ids.get(keyOf(entry));

  /**
   * The entries of an archive of rows to restore. Those that the schema does not show only if nothing is chosen, nothing
   * excludes them, and their extension is not skipped; if that is not known, no extension may be.
   */
  toRestore(
    data: Pick<ArchiveContents, "entries">,
    entries: readonly ArchiveEntry[],
    { selection, skipped, extensionOf }: DataChoice,
  ): ArchiveEntry[] {
    const chosen = new Set(entries.map(({ id }) => id));
    const isExcluded = excludedBy(selection);
    const isSkipped = (entry: ArchiveEntry) => {
      const extension = extensionOf(entry);
      return isOfTable(entry) && (extension === undefined ? skipped.length > 0 : skipped.includes(extension));
    };
    const takesUnknown = (entry: ArchiveEntry) =>
      !isChosen(selection) && selection.only !== "schema" && !isSkipped(entry) && !isExcluded(entry);
    return data.entries.filter((entry) => {
      if (SETTINGS.includes(entry.description)) return false;
      const id = this.idOf(entry);
      return id === undefined ? takesUnknown(entry) : chosen.has(id);
    });
  }

  /** The rows and sequences that `toRestore` leaves out only because an extension is skipped. */
  leftOut(
    data: Pick<ArchiveContents, "entries">,
    entries: readonly ArchiveEntry[],
    choice: DataChoice,
  ): ArchiveEntry[] {
    const restored = new Set(this.toRestore(data, entries, choice));
    const all = this.toRestore(data, entries, { ...choice, skipped: [] });
    return all.filter((entry) => !restored.has(entry));
  }
}

/** Large objects may have several entries in an archive. */
function keyOf({ description, namespace, tag }: ArchiveEntry): string {
  return description === "BLOBS" ? description : JSON.stringify([description, namespace, tag]);
}

/** The rows of all archives of rows, by the ids of the contents of `withDataEntries`. */
export class StreamRows implements Pick<RowCounter, "rowsOf"> {
  readonly #counted: { counter: RowCounter; own: ReadonlyMap<number, ArchiveEntry> }[] = [];

  add(counter: RowCounter, { entries }: Pick<ArchiveContents, "entries">, index: DataIndex): void {
    const own = new Map(
      entries.flatMap((entry) => {
        const id = index.idOf(entry);
        return id === undefined ? [] : [[id, entry] as const];
      }),
    );
    this.#counted.push({ counter, own });
  }

  rowsOf(entries: readonly Pick<ArchiveEntry, "id">[]): number | undefined {
    let sum = 0;
    for (const { counter, own } of this.#counted) {
      const rows = counter.rowsOf(entries.flatMap(({ id }) => own.get(id) ?? []));
      if (rows === undefined) return undefined;
      sum += rows;
    }
    return sum;
  }
}
