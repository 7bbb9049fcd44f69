import { Pg321Error } from "../../base/errors.ts";
import { nearest } from "../../base/text/suggest.ts";
import { cutsOf } from "./cuts.ts";
import type { ArchiveContents, ArchiveEntry } from "./format.ts";
import type { ObjectPattern } from "./object-pattern.ts";
import { patternFor, schemaPattern, tablePattern } from "./object-pattern.ts";
import type { Selection } from "./selection.ts";
import { inSchemas, isTableKind, isWhole, meaningOf, selectedEntries } from "./selection.ts";

/**
 * Refuses (code `usage`) a selection with a pattern that matches nothing in the archive, and one of which nothing
 * remains: pg_restore would restore nothing of them and succeed.
 */
export function requireSelected(contents: ArchiveContents, selection: Selection): void {
  const { schemas, tables, excludeSchemas = [], excludeTables = [], excludeTableData = [] } = selection;
  const inChosen = schemas.length === 0 ? () => true : inSchemas(schemas);
  for (const written of [...schemas, ...excludeSchemas]) requireSchema(contents, schemaPattern(written));
  for (const written of tables) requireTable(contents.entries.filter(inChosen), tablePattern(written));
  for (const written of [...excludeTables, ...excludeTableData])
    requireTable(contents.entries, tablePattern(written));
  if (isWhole(selection)) return;
  if (selectedEntries(contents, selection, cutsOf(contents, selection)).length > 0) return;
  throw new Pg321Error("usage", "nothing of the backup would be restored", {
    hint: "the options exclude everything that they select: leave one of them out",
  });
}

function requireSchema({ entries }: ArchiveContents, pattern: ObjectPattern): void {
  const names = new Set(entries.flatMap(({ namespace }) => namespace ?? []));
  for (const { description, tag } of entries) if (description === "SCHEMA") names.add(tag);
  if ([...names].some((name) => pattern.matches(undefined, name))) return;
  throw unknown("schema", pattern, nearest(pattern.written, [...names]));
}

function requireTable(entries: readonly ArchiveEntry[], pattern: ObjectPattern): void {
  const tables = entries.filter(isTableKind);
  if (tables.some(meaningOf(pattern, tables))) return;
  // Each table by its name alone, and with its schema: the text may be either.
  const isQualified = pattern.written.includes(".");
  const names = tables.map(({ namespace, tag }) => patternFor(isQualified ? namespace : undefined, tag));
  const bare = isQualified ? pattern.written.slice(pattern.written.lastIndexOf(".") + 1) : undefined;
  const sameName = tables
    .filter(({ tag }) => tag === bare)
    .map(({ namespace, tag }) => patternFor(namespace, tag));
  throw unknown(
    "table",
    pattern,
    [...new Set([...sameName, ...nearest(pattern.written, names)])].slice(0, 3),
  );
}

function unknown(what: "schema" | "table", { written, isName }: ObjectPattern, names: string[]): Pg321Error {
  const message = isName
    ? `the backup contains no ${what} "${written}"`
    : `the backup contains no ${what} that matches "${written}"`;
  const [last, ...others] = names.toReversed();
  const hint =
    last === undefined
      ? `${/\..*\./.test(written) ? 'write a name that contains a dot in double quotes, as in "a.b".c; ' : ""}list its contents with: pg321 restore ID --output FILE; pg_restore --list FILE`
      : `did you mean ${[...(others.length > 0 ? [others.toReversed().join(", ")] : []), last].join(" or ")}?`;
  return new Pg321Error("usage", message, { hint });
}
