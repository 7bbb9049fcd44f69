import { Pg321Error } from "../../base/errors.ts";
import { schemaPattern as configuredSchema } from "../../config/database/table-pattern.ts";
import type { ArchiveContents } from "../../postgres/archive/format.ts";
import { schemaPattern, tablePattern } from "../../postgres/archive/object-pattern.ts";
import type { Selection } from "../../postgres/archive/selection.ts";
import { inSchemas, isTableKind, meaningOf } from "../../postgres/archive/selection.ts";
import type { LeftOutOfDump } from "../../postgres/counts/left-out.ts";

type Relation = LeftOutOfDump["tables"][number];

/**
 * Refuses (code `usage`) a pattern that matches nothing in the archive, but a table or a schema that the config left out of
 * the dump: another backup may have it.
 */
export function requireDumped(
  { entries }: Pick<ArchiveContents, "entries">,
  { tables, schemas }: Selection,
  left: Pick<LeftOutOfDump, "tables" | "settings"> | undefined,
): void {
  if (left === undefined) return;
  const chosen = schemas.map(schemaPattern);
  for (const pattern of chosen) {
    const isDumped = entries.some(({ description, namespace, tag }) =>
      pattern.matches(undefined, description === "SCHEMA" ? tag : (namespace ?? "")),
    );
    if (isDumped) continue;
    refuse(left.tables.find(({ schema }) => pattern.matches(undefined, schema)));
    const name = pattern.written.replace(/^=/, "");
    const excluded = (left.settings["exclude_schemas"] ?? []).map(configuredSchema);
    if (excluded.some(({ matches }) => matches(name))) throw absentError(`schema "${name}"`);
  }
  const inChosen = schemas.length === 0 ? () => true : inSchemas(schemas);
  const dumped = entries.filter((entry) => isTableKind(entry) && inChosen(entry));
  const lost = left.tables.filter(
    ({ schema }) => chosen.length === 0 || chosen.some(({ matches }) => matches(undefined, schema)),
  );
  for (const pattern of tables.map(tablePattern)) {
    if (dumped.some(meaningOf(pattern, dumped))) continue;
    refuse(lost.find(({ schema, name }) => pattern.matches(schema, name) || pattern.isWholeName(name)));
  }
}

function refuse(absent: Relation | undefined): void {
  if (absent !== undefined) throw absentError(`table "${absent.name}" of schema "${absent.schema}"`);
}

function absentError(what: string): Pg321Error {
  return new Pg321Error("usage", `the backup is without ${what}`, {
    hint: "the [[database]] tables of the config left it out; pg321 show ID lists the parts that a backup lacks",
  });
}
