import { EXIT_CODES, exitCodeOf } from "../../base/errors.ts";
import { visibleData } from "../../base/text/visible.ts";
import { backupName } from "../../catalog/globals.ts";
import { runBackup } from "../../jobs/backup/backup.ts";
import type { BackupReport, BackupResult } from "../../jobs/backup/report.ts";
import { shortId } from "../../jobs/copies/object-key.ts";
import type { Command } from "../command.ts";
import { isSet, JSON_OPTION, PROGRESS_OPTIONS, textOptions } from "../command.ts";
import { commandContext } from "../open-context.ts";
import { copyList } from "../output/copy-list.ts";
import type { Output } from "../output/output.ts";
import { durationText, jsonText, rateText, sizeText, table } from "../output/output.ts";
import { colouredBackup } from "../output/status-colour.ts";

export const command: Command = {
  usage: "[DATABASE…]",
  description:
    "Dumps each database once and writes that dump to every storage. Without a name it backs up all databases that\n" +
    "the config selects. If a database or a storage fails, the others continue (exit 3).",
  options: {
    database: {
      type: "string",
      short: "d",
      multiple: true,
      value: "NAME",
      help: "the same as DATABASE (may be repeated)",
      values: { live: ["database"] },
    },
    ...PROGRESS_OPTIONS,
    json: JSON_OPTION,
  },
  examples: [
    { command: "pg321 backup", explanation: "every configured database" },
    {
      command: "pg321 backup app main/shop",
      explanation: "two databases; SERVER/DATABASE if several servers have one of that name",
    },
  ],
  positionals: { min: 0, max: Number.POSITIVE_INFINITY, values: [{ live: ["database"] }] },
  async run(invocation) {
    const { output, arguments: args } = invocation;
    await using context = await commandContext(invocation);
    const report = await runBackup(context, [...args.positionals, ...textOptions(args, "database")]);
    if (isSet(args, "json")) output.print(jsonText(jsonOf(report)));
    else output.print(textOf(visibleData(shownResults([...report.results, ...report.globals])), output));
    return exitCodeFor(report.results, report.globals);
  },
};

/** 0 if nothing failed, the code of the first failure if everything failed, 3 otherwise. */
export function exitCodeFor(results: readonly BackupResult[], globals: readonly BackupResult[] = []): number {
  if ([...results, ...globals].every(({ status }) => status === "VERIFIED")) return EXIT_CODES.ok;
  if (results.some(({ status }) => status !== "FAILED")) return EXIT_CODES.partial;
  return exitCodeOf(results[0]?.cause);
}

type ShownResult = Omit<BackupResult, "cause">;

function shownResults(results: readonly BackupResult[]): ShownResult[] {
  return results.map(({ cause: _cause, ...result }) => result);
}

function jsonOf({ run, results, globals }: BackupReport) {
  const shown = (all: readonly BackupResult[]) =>
    shownResults(all).map((result) => ({ ...result, warnings: result.warnings.map(({ text }) => text) }));
  return {
    run_id: run.id,
    outcome: run.outcome,
    backups: shown(results),
    globals: shown(globals),
  };
}

function textOf(results: readonly ShownResult[], { style }: Output): string {
  const rows = table(
    results,
    [
      { title: "ID", cell: (row) => (row.backup_id === null ? "-" : shortId(row.backup_id)) },
      { title: "DATABASE", isName: true, cell: nameOf },
      { title: "STATUS", cell: (row) => colouredBackup(row, style) },
      { title: "DUMP", cell: (row) => sizeText(row.dump_bytes), align: "right" },
      { title: "STORED", cell: (row) => sizeText(row.object_bytes), align: "right" },
      { title: "TIME", cell: (row) => durationText(row.duration_ms), align: "right" },
      { title: "RATE", cell: (row) => rateText(row.dump_bytes ?? 0, row.duration_ms), align: "right" },
      { title: "COPIES", cell: (row) => copyList(row.copies, style) },
    ],
    style,
  );
  return [rows, ...results.flatMap((result) => problemsOf(result, style))].join("\n");
}

/** Only the server's name if its databases could not be listed. */
function nameOf({ server, database }: ShownResult): string {
  return database === null ? server : backupName({ server, database });
}

function problemsOf(result: ShownResult, style: Output["style"]): string[] {
  const name = nameOf(result);
  const lines = result.copies.flatMap(({ storage, error }) =>
    error === null ? [] : [`${style.warn("warning:")} ${name}: ${storage}: ${error}`],
  );
  for (const { by, text } of result.warnings)
    lines.push(`${style.warn("warning:")} ${name}: ${by === undefined ? "" : `${by}: `}${text}`);
  if (result.error !== null) lines.push(`${style.bad("error:")} ${name}: ${result.error}`);
  const hints = new Set(result.copies.flatMap(({ hint }) => hint ?? []));
  for (const hint of hints) lines.push(`${style.dim("hint:")} ${hint}`);
  if (result.hint !== null) lines.push(`${style.dim("hint:")} ${result.hint}`);
  return lines;
}
