import { LISTED_MAX } from "../../base/limits.ts";
import { visible } from "../../base/text/visible.ts";
import { backupName } from "../../catalog/globals.ts";
import { shortId } from "../../jobs/copies/object-key.ts";
import type { LongList } from "../../jobs/long-list.ts";
import { visiblePages } from "./long-output.ts";
import type { Style } from "./output.ts";
import { longTable, sizeText } from "./output.ts";
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

/** A line for each text that results have, each said once. */
export async function* linesOnce<T>(
  results: LongList<T>,
  start: string,
  textOf: (result: T) => string | null,
): AsyncGenerator<string> {
  const said = new Set<string | null>([null]);
  for await (const result of results) {
    const text = textOf(result);
    if (said.has(text) || said.size > LISTED_MAX) continue;
    said.add(text);
    yield `${start} ${visible(text ?? "")}\n`;
  }
}

/** Each hint once, in lines of their own. */
export function hintLines(results: LongList<{ hint: string | null }>, style: Style): AsyncGenerator<string> {
  return linesOnce(results, style.dim("hint:"), ({ hint }) => hint);
}

/** A table with one line for each copy that a job made or removed, in parts. */
export function outcomeTable(results: LongList<CopyResult>, style: Style): AsyncGenerator<string> {
  return longTable(
    visiblePages(results),
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
