import { EXIT_CODES, Pg321Error } from "../../base/errors.ts";
import { durationText, sizeText } from "../../base/text/amounts.ts";
import { visibleData } from "../../base/text/visible.ts";
import type { RestoreTestRecord } from "../../catalog/records.ts";
import { adoptBackups } from "../../jobs/cleanup/adopt-backups.ts";
import { requireStorage } from "../../jobs/copies/find-backup.ts";
import { shortId } from "../../jobs/copies/object-key.ts";
import type { RestoreTestReport } from "../../jobs/restore-test/report.ts";
import { runRestoreTests } from "../../jobs/restore-test/restore-test.ts";
import { checkTexts } from "../../jobs/restore-test/told.ts";
import { recoveryMs } from "../../status/restore-tests.ts";
import type { Command } from "../command.ts";
import { isSet, JSON_OPTION, PROGRESS_OPTIONS, textOption } from "../command.ts";
import { commandContext } from "../open-context.ts";
import type { Output } from "../output/output.ts";
import { jsonText, table } from "../output/output.ts";
import { colouredStatus } from "../output/status-colour.ts";

export const command: Command = {
  usage: "[DATABASE|ID…]",
  description:
    "Restores the newest good backup of each database into a scratch database, checks it, drops it again, and records\n" +
    "the result and how long the recovery took. Reads from the storage whose copy was tested longest ago. By default the\n" +
    "scratch database is in a private cluster that exists only for the test; restore_test.server in the config names\n" +
    "another place. Exit 14 if a backup could not be restored or a check failed, 10 or 13 if a test could not be\n" +
    "carried out.",
  options: {
    database: {
      type: "string",
      short: "d",
      value: "NAME",
      help: "test the newest good backup of this database: NAME, or SERVER/NAME",
      values: { live: ["database"] },
    },
    from: {
      type: "string",
      value: "STORAGE",
      help: "read only from this storage",
      values: { live: ["storage"] },
    },
    adopt: {
      type: "boolean",
      help: "on a host without a [[server]]: test what another host has backed up, and leave the results beside the copies",
    },
    ...PROGRESS_OPTIONS,
    json: JSON_OPTION,
  },
  examples: [
    { command: "pg321 restore-test", explanation: "the newest good backup of each database" },
    { command: "pg321 restore-test app --from r2", explanation: "one database, from one storage" },
    { command: "pg321 restore-test 3f2a", explanation: "one backup" },
  ],
  positionals: { min: 0, max: Number.POSITIVE_INFINITY, values: [{ live: ["database", "good-backup"] }] },
  async run(invocation) {
    const { arguments: args, output } = invocation;
    await using context = await commandContext(invocation);
    const from = textOption(args, "from");
    if (from !== undefined) requireStorage(context, from);
    const database = textOption(args, "database");
    if (database !== undefined && args.positionals.length > 0)
      throw new Pg321Error("usage", "restore-test: --database cannot be used with a DATABASE or ID", {
        hint: "name them all without --database: pg321 restore-test DATABASE|ID…",
      });
    const isAdopting = isSet(args, "adopt") || context.config.restore_test.adopt;
    if (isAdopting && context.config.server.length > 0)
      throw new Pg321Error("usage", "restore-test: --adopt is for a host without a [[server]] of its own", {
        hint: "without --adopt, this host tests the backups that it makes",
      });
    const adopt = isAdopting ? adoptBackups : undefined;
    const report = await runRestoreTests(context, { words: args.positionals, database, from, adopt });
    if (isSet(args, "json")) output.print(jsonText(jsonOf(report)));
    else output.print(textOf(visibleData(report.tests), output));
    return exitCodeFor(report);
  },
};

function jsonOf({ run, tests }: RestoreTestReport) {
  return { run_id: run.id, outcome: run.outcome, tests };
}

function exitCodeFor({ tests, codes }: RestoreTestReport): number {
  if (tests.some(({ outcome }) => outcome === "FAILED")) return EXIT_CODES.verification;
  const [code] = codes;
  if (code === undefined && tests.every(({ outcome }) => outcome === "PASSED")) return EXIT_CODES.ok;
  return EXIT_CODES[code ?? "database"];
}

function textOf(tests: readonly RestoreTestRecord[], { style }: Output): string {
  return table(
    tests,
    [
      { title: "ID", cell: (row) => shortId(row.backup_id) },
      { title: "DATABASE", cell: (row) => `${row.server}/${row.database}` },
      { title: "STORAGE", cell: (row) => row.storage ?? "" },
      { title: "RESULT", cell: (row) => colouredStatus(row.outcome, style) },
      { title: "SIZE", cell: (row) => sizeText(row.dump_bytes), align: "right" },
      { title: "RECOVERY", cell: (row) => durationText(recoveryMs(row)), align: "right" },
      { title: "CHECKS", cell: checksText },
      { title: "ERROR", cell: (row) => checkTexts(row) ?? "" },
    ],
    style,
  );
}

function checksText({ checks }: RestoreTestRecord): string {
  const good = checks.filter(({ is_ok }) => is_ok).length;
  return checks.length === 0 ? "" : `${good} of ${checks.length}`;
}
