import type { ArchiveContents, ArchiveEntry } from "./format.ts";
import { heirs, isDataOf, isTable } from "./inheritance.ts";
import type { Selection } from "./selection.ts";
import { ATTACH_KINDS, DEPENDENT_KINDS, inSchemas, isOfDatabase, ofTables } from "./selection.ts";
import { tableOf } from "./table-parts.ts";

/** Kinds with rows, positions of sequences and large objects. */
const DATA_KINDS = ["TABLE DATA", "SEQUENCE SET", "BLOB", "BLOBS", "BLOB METADATA"];
/** Kinds that are neither data nor part of a schema without data. */
const DERIVED_KINDS = ["MATERIALIZED VIEW DATA", "STATISTICS DATA"];
/** Kinds that go if one of the objects that they connect goes. */
const CONNECTIONS = [...ATTACH_KINDS, ...DEPENDENT_KINDS, "SEQUENCE SET"].concat(
  "PUBLICATION TABLE",
  "PUBLICATION TABLES IN SCHEMA",
);

/**
 * The ids of the entries that the selection's options leave out: excluded schemas and tables with all their parts,
 * partitions and heirs, rows, indexes. Other objects that need one of these are not among them.
 */
export function cutsOf(contents: ArchiveContents, selection: Selection): ReadonlySet<number> {
  const { excludeSchemas = [], excludeTables = [], excludeTableData = [] } = selection;
  const entries = contents.entries.filter((entry) => !isOfDatabase(entry));
  const cut = new Set<number>();
  const cutAll = (isMatch: (entry: ArchiveEntry) => boolean) => {
    for (const entry of entries) if (isMatch(entry)) cut.add(entry.id);
  };
  const isExcluded = ofTables(contents.entries, excludeTables);
  const inExcluded = inSchemas(excludeSchemas);
  cutAll((entry) => isExcluded(entry) || isOfSchema(entry, inExcluded));
  if (cut.size > 0) cutWithParts(contents, entries, cut);
  if (selection.withoutIndexes) cutAll(({ description }) => description === "INDEX");
  // These come after the entries that they depend on.
  cutAll(
    ({ description, dependencies }) =>
      CONNECTIONS.includes(description) && dependencies.some((id) => cut.has(id)),
  );
  const isWithoutRows = ofTables(contents.entries, excludeTableData);
  const emptied = new Set(
    entries.filter((entry) => isTable(entry) && isWithoutRows(entry)).map(({ id }) => id),
  );
  const emptiedHeirs = heirs(contents, emptied);
  cutAll(
    (entry) => entry.description.endsWith(" DATA") && (isWithoutRows(entry) || isDataOf(entry, emptiedHeirs)),
  );
  if (selection.only !== undefined) {
    const isOnlyData = selection.only === "data";
    cutAll((entry) => isData(entry) !== isOnlyData || DERIVED_KINDS.includes(entry.description));
  }
  return cut;
}

function isOfSchema(entry: ArchiveEntry, inExcluded: (entry: ArchiveEntry) => boolean): boolean {
  const { description, namespace, tag } = entry;
  return description === "SCHEMA"
    ? inExcluded({ ...entry, namespace: tag })
    : namespace !== undefined && inExcluded(entry);
}

/** Adds the partitions and heirs of the tables, and the parts and rows of all of them. */
function cutWithParts(contents: ArchiveContents, entries: readonly ArchiveEntry[], cut: Set<number>): void {
  const children = heirs(contents, cut);
  for (const id of children.keys()) cut.add(id);
  const byId = new Map(contents.entries.map((entry) => [entry.id, entry]));
  for (const entry of entries) {
    const table = tableOf(entry, byId);
    if (table ? cut.has(table.id) : isDataOf(entry, children)) cut.add(entry.id);
  }
}

function isData({ description, tag }: ArchiveEntry): boolean {
  if (DEPENDENT_KINDS.includes(description)) return /^LARGE OBJECTS? /.test(tag);
  return DATA_KINDS.includes(description);
}
