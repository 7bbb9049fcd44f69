import { EXIT_CODES } from "../../base/errors.ts";
import { plural } from "../../base/text/amounts.ts";
import { visible } from "../../base/text/visible.ts";
import { backupName } from "../../catalog/globals.ts";
import type { JobContext } from "../../jobs/context.ts";
import { shortId } from "../../jobs/copies/object-key.ts";
import { LongList } from "../../jobs/long-list.ts";
import { runRepair } from "../../jobs/verify/repair.ts";
import { planRepair } from "../../jobs/verify/repair-plan.ts";
import type { PlannedCopy, RepairResult } from "../../jobs/verify/report.ts";
import type { Command } from "../command.ts";
import { isSet, JSON_OPTION, PROGRESS_OPTIONS } from "../command.ts";
import { commandContext } from "../open-context.ts";
import { printParts, visiblePages } from "../output/long-output.ts";
import { hintLines, linesOnce, outcomeTable } from "../output/outcome-table.ts";
import { longJson, longTable, type Output, type Style, sizeText } from "../output/output.ts";
import { colouredCopy } from "../output/status-colour.ts";

export const command: Command = {
  usage: "",
  description:
    "Copies the stored object as it is, still sealed, from a storage with a good copy to each storage whose copy is\n" +
    "missing or damaged. Needs neither PostgreSQL nor an identity. Exit 3 if a copy could not be filled.",
  options: {
    "dry-run": {
      type: "boolean",
      help: "show what it would copy from where, by the records alone, and change nothing",
    },
    ...PROGRESS_OPTIONS,
    json: JSON_OPTION,
  },
  examples: [
    { command: "pg321 repair", explanation: "repair every PARTIAL backup" },
    { command: "pg321 repair --dry-run", explanation: "show source, target and size of each copy first" },
  ],
  positionals: { min: 0, max: 0 },
  async run(invocation) {
    const { arguments: args, output } = invocation;
    await using context = await commandContext(invocation);
    const isJson = isSet(args, "json");
    if (isSet(args, "dry-run")) return await printPlan(context, output, isJson);
    const { run, results, left } = await runRepair(context);
    await using copies = results;
    const { id: run_id, outcome } = run;
    await printParts(
      output,
      isJson ? longJson({ run_id, outcome, copies, left }) : textOf(copies, left, output.style),
    );
    return outcome === "OK" ? EXIT_CODES.ok : EXIT_CODES.partial;
  },
};

async function* textOf(results: LongList<RepairResult>, left: number, style: Style): AsyncGenerator<string> {
  if (results.length > 0) {
    yield* outcomeTable(results, style);
    yield* hintLines(results, style);
    // What remains of repaired copies.
    yield* linesOnce(results, "note:", ({ note, storage }) => (note === null ? null : `${storage}: ${note}`));
  } else if (left === 0) yield "nothing to repair: no copy is missing or damaged\n";
  if (left > 0) yield `${plural(left, "backup")} left for the next repair: another run is working on them\n`;
}

/** What a repair would do. */
interface PlanSums {
  filled: number;
  bytes: number;
  without: number;
  /** By the storage that would be read, the bytes that a provider may charge for. */
  charged: Map<string, number>;
}

async function printPlan(context: JobContext, output: Output, isJson: boolean): Promise<number> {
  await using copies = new LongList<PlannedCopy>(context);
  const sums: PlanSums = { filled: 0, bytes: 0, without: 0, charged: new Map() };
  for await (const one of planRepair(context)) {
    await copies.push(one);
    const { from, object_bytes, may_be_charged } = one;
    if (from === null) {
      sums.without++;
      continue;
    }
    sums.filled++;
    sums.bytes += object_bytes;
    if (may_be_charged) sums.charged.set(from, (sums.charged.get(from) ?? 0) + object_bytes);
  }
  await printParts(
    output,
    isJson ? longJson({ dry_run: true, copies }) : planText(copies, sums, output.style),
  );
  return sums.without === 0 ? EXIT_CODES.ok : EXIT_CODES.partial;
}

async function* planText(
  planned: LongList<PlannedCopy>,
  sums: PlanSums,
  style: Style,
): AsyncGenerator<string> {
  if (planned.length === 0) return yield "nothing to repair: no copy is missing or damaged\n";
  yield* longTable(
    visiblePages(planned),
    [
      { title: "ID", cell: (row) => shortId(row.backup_id) },
      { title: "DATABASE", isName: true, cell: (row) => backupName(row) },
      { title: "FROM", isName: true, cell: (row) => row.from ?? "no good copy" },
      { title: "TO", cell: (row) => row.storage },
      { title: "SIZE", cell: (row) => sizeText(row.object_bytes), align: "right" },
      { title: "NOW", cell: (row) => (row.state === null ? "no copy" : colouredCopy(row.state, style)) },
      { title: "NOTE", cell: (row) => (row.may_be_charged ? "a provider may charge for reading it" : "") },
    ],
    style,
  );
  yield `\n${summaryOf(sums)}\n`;
}

/** `would copy 3 copies, 1.2 GiB; 1 copy has no source; reading from r2 (800 MiB) may be charged` */
function summaryOf({ filled, bytes, without, charged }: PlanSums): string {
  return [
    `would fill ${plural(filled, "copy", "copies")}, ${sizeText(bytes)}; nothing was changed`,
    ...(without > 0 ? [`${plural(without, "copy has", "copies have")} no good copy to be filled from`] : []),
    ...[...charged].map(
      ([from, ofThem]) => `a provider may charge for reading ${sizeText(ofThem)} from ${visible(from)}`,
    ),
  ].join("\n");
}
