import { Pg321Error } from "../../base/errors.ts";
import type { ArchiveContents } from "../../postgres/archive/format.ts";
import { schemaPattern, tablePattern } from "../../postgres/archive/object-pattern.ts";
import type { Selection } from "../../postgres/archive/selection.ts";
import { inSchemas, isTableKind, meaningOf } from "../../postgres/archive/selection.ts";
import type { LeftOutOfDump } from "../../postgres/counts/left-out.ts";

type Relation = LeftOutOfDump["tables"][number];

/**
 * Refuses (code `usage`) a pattern that matches nothing in the archive, but a table that the config left out of the dump:
 * another backup may have it.
 */
export function requireDumped(
  { entries }: Pick<ArchiveContents, "entries">,
  { tables, schemas }: Selection,
  left: Pick<LeftOutOfDump, "tables"> | undefined,
): void {
  if (left === undefined) return;
  const chosen = schemas.map(schemaPattern);
  for (const pattern of chosen) {
    const isDumped = entries.some(({ description, namespace, tag }) =>
      pattern.matches(undefined, description === "SCHEMA" ? tag : (namespace ?? "")),
    );
    if (!isDumped) refuse(left.tables.find(({ schema }) => pattern.matches(undefined, schema)));
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
  if (absent === undefined) return;
  throw new Pg321Error("usage", `the backup is without table "${absent.name}" of schema "${absent.schema}"`, {
    hint: "the [[database]] tables of the config left it out; pg321 show ID lists the parts that a backup lacks",
  });
}
