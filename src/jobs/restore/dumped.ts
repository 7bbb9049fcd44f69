import { Pg321Error } from "../../base/errors.ts";
import type { Selection } from "../../postgres/archive/selection.ts";
import type { LeftOutOfDump } from "../../postgres/counts/left-out.ts";

/** Refuses (code `usage`) to restore a table that the config left out of the dump: another backup may have it. */
export function requireDumped({ tables, schemas }: Selection, left: LeftOutOfDump | undefined): void {
  const absent = left?.tables.find(
    ({ schema, name }) => tables.includes(name) && (schemas.length === 0 || schemas.includes(schema)),
  );
  if (absent === undefined) return;
  throw new Pg321Error("usage", `the backup is without table "${absent.name}" of schema "${absent.schema}"`, {
    hint: "the [[database]] tables of the config left it out; pg321 show ID says what each backup is without",
  });
}
