import { EXIT_CODES } from "../../base/errors.ts";
import { visibleData } from "../../base/text/visible.ts";
import { previewCleanup, runCleanup } from "../../jobs/cleanup/cleanup.ts";
import type { CleanupReport } from "../../jobs/cleanup/report.ts";
import type { Command } from "../command.ts";
import { isSet, JSON_OPTION, PROGRESS_OPTIONS, textOption } from "../command.ts";
import { commandContext } from "../open-context.ts";
import { adoptionText, decisionJson, findings, printPreview } from "../output/cleanup-preview.ts";
import type { Output, Style } from "../output/output.ts";
import { durationText, jsonText, sizeText, table } from "../output/output.ts";

export const command: Command = {
  usage: "",
  description:
    "Deletes, in this order: expired copies on this host, expired copies in buckets, records of backups without a\n" +
    "copy, temporary files and abandoned multipart uploads. Then reports objects without a record; it never deletes\n" +
    "these. A copy expires when it is older than its storage's keep.days and no other rule or guard keeps it. A run\n" +
    "that would delete suspiciously much stops and waits for --confirm. Exit 3 if something failed or was stopped,\n" +
    "13 if everything failed, 11 if another cleanup is running.",
  options: {
    "dry-run": {
      type: "boolean",
      help: "print each copy with keep or expire and the reason; change nothing",
    },
    confirm: { type: "string", value: "PLAN_HASH", help: "carry out the stopped plan with this hash" },
    adopt: { type: "boolean", help: "add objects without a record that have a good manifest to the catalog" },
    ...PROGRESS_OPTIONS,
    json: JSON_OPTION,
  },
  examples: [
    {
      command: "pg321 cleanup --dry-run",
      explanation: "which copies would expire, which would stay, and why",
    },
    { command: "pg321 cleanup", explanation: "delete them" },
  ],
  positionals: { min: 0, max: 0 },
  async run(invocation) {
    const { arguments: args, output } = invocation;
    await using context = await commandContext(invocation);
    const options = { confirm: textOption(args, "confirm"), adopt: isSet(args, "adopt") };
    const isJson = isSet(args, "json");
    if (isSet(args, "dry-run")) {
      await using preview = await previewCleanup(context, options);
      await printPreview(preview, output, { isAdopting: options.adopt, isJson });
      return EXIT_CODES.ok;
    }
    const report = await runCleanup(context, options);
    output.print(isJson ? jsonText(json(report)) : textOf(visibleData(report), options.adopt, output));
    const { outcome } = report.run;
    if (outcome === "OK") return EXIT_CODES.ok;
    return outcome === "FAILED" ? EXIT_CODES.storage : EXIT_CODES.partial;
  },
};

function json({ run, statistics, decisions, orphans }: CleanupReport) {
  return {
    run_id: run.id,
    outcome: run.outcome,
    ...statistics,
    orphan_objects: orphans,
    decisions: decisions.map(decisionJson),
  };
}

function textOf(report: CleanupReport, isAdopting: boolean, { style }: Output): string {
  const lines = [...countLines(report, isAdopting), ...findings(report, { isAdopting, style })];
  return [countTable(report, style), "", ...lines].join("\n");
}

function countTable({ statistics }: CleanupReport, style: Style): string {
  return table(
    Object.entries(statistics.storages),
    [
      { title: "STORAGE", isName: true, cell: ([name]) => name },
      { title: "EXPIRED", cell: ([, counts]) => String(counts.expired), align: "right" },
      { title: "DELETED", cell: ([, counts]) => String(counts.deleted), align: "right" },
      { title: "ARCHIVED", cell: ([, counts]) => String(counts.archived), align: "right" },
      { title: "HIDDEN", cell: ([, counts]) => String(counts.hidden), align: "right" },
      { title: "HELD", cell: ([, counts]) => String(counts.held), align: "right" },
      { title: "FAILED", cell: ([, counts]) => String(counts.failed), align: "right" },
      { title: "FREED", cell: ([, counts]) => sizeText(counts.bytes_freed), align: "right" },
    ],
    style,
  );
}

/** The counts of a run. */
function countLines({ statistics }: CleanupReport, isAdopting: boolean): string[] {
  const pruned = statistics.runs_pruned + statistics.alerts_pruned + statistics.deliveries_pruned;
  return [
    `records deleted            ${statistics.records_deleted}`,
    `temporary files deleted    ${statistics.temporary_files_deleted}`,
    `multipart uploads aborted  ${statistics.multipart_uploads_aborted}`,
    ...(statistics.locks_renewed > 0 ? [`locks set or extended      ${statistics.locks_renewed}`] : []),
    ...(pruned > 0 ? [`history records deleted    ${pruned}`] : []),
    ...(isAdopting ? [adoptionText(statistics.adopted, "adopted")] : []),
    `duration                   ${durationText(statistics.duration_ms)}`,
  ];
}
