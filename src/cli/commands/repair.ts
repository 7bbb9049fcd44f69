import { EXIT_CODES } from "../../base/errors.ts";
import { plural } from "../../base/text/amounts.ts";
import { visibleData } from "../../base/text/visible.ts";
import { backupName } from "../../catalog/globals.ts";
import { shortId } from "../../jobs/copies/object-key.ts";
import { runRepair } from "../../jobs/verify/repair.ts";
import { planRepair } from "../../jobs/verify/repair-plan.ts";
import type { PlannedCopy, RepairResult } from "../../jobs/verify/report.ts";
import type { Command } from "../command.ts";
import { isSet, JSON_OPTION, PROGRESS_OPTIONS } from "../command.ts";
import { commandContext } from "../open-context.ts";
import { hintLines, outcomeTable } from "../output/outcome-table.ts";
import { jsonText, type Style, sizeText, table } from "../output/output.ts";
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
    if (isSet(args, "dry-run")) {
      const planned = await planRepair(context);
      if (isSet(args, "json")) output.print(jsonText({ dry_run: true, copies: planned }));
      else output.print(planText(visibleData(planned), output.style));
      return planned.every(({ from }) => from !== null) ? EXIT_CODES.ok : EXIT_CODES.partial;
    }
    const { run, results, left } = await runRepair(context);
    if (isSet(args, "json"))
      output.print(jsonText({ run_id: run.id, outcome: run.outcome, copies: results, left }));
    else {
      if (results.length > 0)
        output.print(
          [
            outcomeTable(results, output.style),
            ...hintLines(results, output.style),
            ...noteLines(results),
          ].join("\n"),
        );
      else if (left === 0) output.print("nothing to repair: no copy is missing or damaged");
      if (left > 0)
        output.print(`${plural(left, "backup")} left for the next repair: another run is working on them`);
    }
    return results.every(({ outcome }) => outcome === "filled") ? EXIT_CODES.ok : EXIT_CODES.partial;
  },
};

/** What remains of repaired copies, each said once. */
function noteLines(results: readonly RepairResult[]): string[] {
  const notes = results.flatMap(({ note, storage }) => (note === null ? [] : `note: ${storage}: ${note}`));
  return [...new Set(notes)];
}

function planText(planned: readonly PlannedCopy[], style: Style): string {
  if (planned.length === 0) return "nothing to repair: no copy is missing or damaged";
  const rows = table(
    planned,
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
  return `${rows}\n\n${summaryOf(planned)}`;
}

/** `would copy 3 copies, 1.2 GiB; 1 copy has no source; reading from r2 (800 MiB) may be charged` */
function summaryOf(planned: readonly PlannedCopy[]): string {
  const copied = planned.filter(({ from }) => from !== null);
  const bytesOf = (copies: readonly PlannedCopy[]) => copies.reduce((sum, one) => sum + one.object_bytes, 0);
  const without = planned.length - copied.length;
  const charged = Map.groupBy(
    copied.filter((one) => one.may_be_charged),
    ({ from }) => from,
  );
  return [
    `would fill ${plural(copied.length, "copy", "copies")}, ${sizeText(bytesOf(copied))}; nothing was changed`,
    ...(without > 0 ? [`${plural(without, "copy has", "copies have")} no good copy to be filled from`] : []),
    ...[...charged].map(
      ([from, copies]) => `a provider may charge for reading ${sizeText(bytesOf(copies))} from ${from}`,
    ),
  ].join("\n");
}
