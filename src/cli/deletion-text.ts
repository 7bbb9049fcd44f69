import { EXIT_CODES } from "../base/errors.ts";
import { visibleData } from "../base/visible.ts";
import type { DeletionReport } from "../jobs/delete-backup.ts";
import { shortId } from "../jobs/object-key.ts";
import type { Output } from "./output.ts";
import { jsonText, sizeText, table } from "./output.ts";
import { statusText } from "./status-text.ts";

/** Prints what a deletion by hand did. Returns the exit code. */
export function printDeletion(report: DeletionReport, output: Output, isJson: boolean): number {
  const { results, records_deleted } = report;
  if (isJson) output.print(jsonText({ copies: results, records_deleted }));
  else {
    const rows = table(
      visibleData(results),
      [
        { title: "ID", cell: (row) => shortId(row.backup_id) },
        { title: "DATABASE", cell: (row) => `${row.server}/${row.database}` },
        { title: "STORAGE", cell: (row) => row.storage },
        { title: "SIZE", cell: (row) => sizeText(row.object_bytes), align: "right" },
        { title: "OUTCOME", cell: (row) => statusText(row.outcome, output.style) },
        { title: "ERROR", cell: (row) => row.error ?? "" },
      ],
      output.style,
    );
    output.print(`${rows}\nrecords deleted: ${records_deleted}`);
  }
  const isDone = results.every(({ outcome }) => outcome === "deleted" || outcome === "gone");
  return isDone ? EXIT_CODES.ok : EXIT_CODES.partial;
}
