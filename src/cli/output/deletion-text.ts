import { EXIT_CODES } from "../../base/errors.ts";
import { plural } from "../../base/text/amounts.ts";
import type { DeletionReport } from "../../jobs/cleanup/delete-backup.ts";
import { printParts } from "./long-output.ts";
import { outcomeTable } from "./outcome-table.ts";
import { longJson, type Output } from "./output.ts";

/** Prints the result of `delete` or `forget`, and disposes of it. Returns the exit code. */
export async function printDeletion(
  { results, records_deleted, isComplete }: DeletionReport,
  output: Output,
  isJson: boolean,
): Promise<number> {
  await using copies = results;
  const text = async function* () {
    yield* outcomeTable(copies, output.style);
    yield `${plural(records_deleted, "record")} deleted\n`;
  };
  await printParts(output, isJson ? longJson({ copies, records_deleted }) : text());
  return isComplete ? EXIT_CODES.ok : EXIT_CODES.partial;
}
