import { EXIT_CODES } from "../../base/errors.ts";
import { plural } from "../../base/text/amounts.ts";
import type { DeletionReport } from "../../jobs/cleanup/delete-backup.ts";
import { outcomeTable } from "./outcome-table.ts";
import type { Output } from "./output.ts";
import { jsonText } from "./output.ts";

/** Prints the result of `delete` or `forget`. Returns the exit code. */
export function printDeletion(report: DeletionReport, output: Output, isJson: boolean): number {
  const { results, records_deleted } = report;
  if (isJson) output.print(jsonText({ copies: results, records_deleted }));
  else {
    output.print(`${outcomeTable(results, output.style)}\n${plural(records_deleted, "record")} deleted`);
  }
  const isDone = results.every(({ outcome }) => outcome === "deleted" || outcome === "gone");
  return isDone ? EXIT_CODES.ok : EXIT_CODES.partial;
}
