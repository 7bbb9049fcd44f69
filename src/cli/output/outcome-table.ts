import { visible, visibleData } from "../../base/text/visible.ts";
import { backupName } from "../../catalog/globals.ts";
import { shortId } from "../../jobs/copies/object-key.ts";
import type { Style } from "./output.ts";
import { sizeText, table } from "./output.ts";
import { colouredStatus } from "./status-colour.ts";

/** The result of a job for one copy. */
export interface CopyResult {
  backup_id: string;
  server: string;
  database: string;
  storage: string;
  outcome: string;
  object_bytes: number | null;
  error: string | null;
}

/** Each hint once, in lines of their own. */
export function hintLines(results: readonly { hint: string | null }[], style: Style): string[] {
  const hints = new Set(results.flatMap(({ hint }) => hint ?? []));
  return [...hints].map((hint) => `${style.dim("hint:")} ${visible(hint)}`);
}

/** A table with one line for each copy that a job made or removed. */
export function outcomeTable(results: readonly CopyResult[], style: Style): string {
  return table(
    visibleData(results),
    [
      { title: "ID", cell: (row) => shortId(row.backup_id) },
      { title: "DATABASE", isName: true, cell: (row) => backupName(row) },
      { title: "STORAGE", isName: true, cell: (row) => row.storage },
      { title: "SIZE", cell: (row) => sizeText(row.object_bytes), align: "right" },
      { title: "OUTCOME", cell: (row) => colouredStatus(row.outcome, style) },
      { title: "ERROR", cell: (row) => row.error ?? "" },
    ],
    style,
  );
}
