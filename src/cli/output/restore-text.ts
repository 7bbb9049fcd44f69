import { plural } from "../../base/text/amounts.ts";
import { shellOption, shellQuoted } from "../../base/text/shell.ts";
import { visible, visibleData, visibleLines } from "../../base/text/visible.ts";
import { timeText } from "../../base/text/zoned-time.ts";
import { backupName } from "../../catalog/globals.ts";
import { shortId } from "../../jobs/copies/object-key.ts";
import { faultText } from "../../jobs/load/faults.ts";
import type { Obstacle, RestoreReport } from "../../jobs/restore/report.ts";
import type { LeftOut } from "../../postgres/restore/left-out.ts";
import { textOfName } from "../../postgres/restore/left-out.ts";
import type { Lack } from "../../postgres/restore/preflight.ts";
import { sessionText } from "../../postgres/sessions.ts";
import { globalsLines } from "./globals-text.ts";
import type { Style } from "./output.ts";
import { durationText, rateText, sizeText } from "./output.ts";

/** What a restore did, or would do, for a person. */
export function restoreText(raw: RestoreReport, isDryRun: boolean, style: Style): string {
  const report = visibleData(raw);
  const { backup, obstacles, tables, rows, dump_bytes, duration_ms, errors_ignored, errors } = report;
  const what = `backup ${shortId(backup.id)} of ${backupName(backup)} (${timeText(backup.started_at)})`;
  const lackLines = [
    ...globalsLines(report.globals, isDryRun, style),
    ...linesOfLacks(report, isDryRun, style),
  ];
  const aloneLines = [
    ...report.notes.map((note) => `${style.dim("note:")} ${note}`),
    ...report.unattached.map(
      (name) => `${style.warn("unattached")} ${name}: a partition without the table that it belongs to`,
    ),
    ...leftOutLines(raw, style),
  ];
  const tableText = plural(tables, "table");
  const notThere =
    report.not_in_backup === null ? [] : [`${style.warn("warning")} this backup is ${report.not_in_backup}`];
  if (isDryRun) {
    const verdict = obstacles.length === 0 ? [style.good("nothing prevents the restore")] : [];
    const prevented = obstacles.flatMap((one) => obstacleLines(one, style));
    return [
      `would restore ${what}: ${tableText}`,
      ...(report.is_selection ? report.entries : []).map((entry) => `  ${entry}`),
      ...notThere,
      ...lackLines,
      ...aloneLines,
      ...(report.is_source ? [style.warn("the target is the database that was backed up")] : []),
      ...report.sessions.map((one) => `${style.warn("in the way")} ${sessionText(one)}`),
      ...prevented,
      ...verdict,
    ].join("\n");
  }
  const rowText = rows === null ? "" : `, ${plural(rows, "row")}`;
  const size = `${sizeText(dump_bytes)} in ${durationText(duration_ms)} (${rateText(dump_bytes, duration_ms)})`;
  const emptyLines = rows === 0 && tables > 0 ? [style.warn("the backup has no rows in these tables")] : [];
  const lostLines = report.empty_tables.map(
    ({ table, rows_recorded }) =>
      `${style.warn("empty")} ${table}: it holds no rows, but the backup recorded ${rows_recorded}`,
  );
  const errorLines = linesOfErrors(errors, style);
  const summary = [
    ...report.unfilled.map((name) => `${style.warn("without its rows")} ${name}`),
    ...(errors_ignored > 0
      ? [style.warn(`pg_restore continued after ${plural(errors_ignored, "error")}`)]
      : []),
  ];
  return [
    ...report.terminated.map((one) => `ended ${sessionText(one)}`),
    ...[
      ...lackLines,
      `${tables > 0 || errors_ignored === 0 ? style.good("restored") : style.warn("not restored:")} ${what}: ${tableText}${rowText}, ${size}`,
    ],
    ...[...notThere, ...emptyLines, ...lostLines, ...aloneLines, ...errorLines, ...summary],
  ].join("\n");
}

/** Each error with its statement; the advice of a kind once, after its first error. */
function linesOfErrors(errors: RestoreReport["errors"], style: Style): string[] {
  const given = new Set<string | null>([null]);
  return errors.flatMap((error) => {
    const { statement, hint, advice } = error;
    const hints = [hint, given.has(advice) ? null : advice].filter((one) => one !== null);
    given.add(advice);
    return [
      `${style.warn("error")} ${faultText(error)}`,
      ...(statement === null ? [] : [`  ${style.dim("statement:")} ${statement}`]),
      ...(hints.length > 0 ? [`  ${style.dim("hint:")} ${hints.join(" ")}`] : []),
    ];
  });
}

/** Lines above have shown what to do about each thing that the target lacks. */
function obstacleLines({ kind, message, hint }: Obstacle, style: Style): string[] {
  return [style.warn(message), ...(kind === "lacks" ? [] : [`${style.dim("hint:")} ${hint}`])];
}

const LACK_WORDS: Partial<Record<Lack["kind"], string>> = {
  membership: "lacks membership in role",
  right: "may not restore",
  managed: "may perhaps not restore",
};

function linesOfLacks(
  { lacks, roles_created }: Pick<RestoreReport, "lacks" | "roles_created">,
  isDryRun: boolean,
  style: Style,
): string[] {
  const left = lacks.filter(({ kind, name }) => kind !== "role" || !roles_created.includes(name));
  const statements = left.flatMap(({ sql }) => sql ?? []);
  const hasRoles = left.some(({ kind }) => kind === "role");
  const done = isDryRun ? "would create" : style.good("created");
  return [
    ...roles_created.map((name) => `${done} role ${name}, without login, password and memberships`),
    ...left.map(
      ({ kind, name, hint, sql }) =>
        `${style.warn(LACK_WORDS[kind] ?? `lacks ${kind}`)} ${name}${sql === null ? `: ${hint}` : ""}`,
    ),
    ...(statements.length > 0
      ? [
          `run in psql as a superuser${hasRoles ? ", or add --with-globals (roles as they were) or --create-roles (without login)" : ""}:`,
          ...statements,
        ]
      : []),
  ];
}

/** What a restore of a selection left out, and the options and statements that mend it. */
function leftOutLines({ left_out, missing_dependents }: RestoreReport, style: Style): string[] {
  const lines = (kind: string, all: readonly LeftOut[]) =>
    all.map(({ entry, reason }) => `${style.warn(kind)} ${visible(`${textOfName(entry)}: ${reason}`)}`);
  const all = [...left_out, ...missing_dependents];
  const options = all.flatMap(({ table }) =>
    table === null ? [] : [shellOption("--table", visible(table))],
  );
  const statements = all.flatMap(({ sql }) => sql ?? []).map(visibleLines);
  return [
    ...lines("left out", left_out),
    ...lines("missing", missing_dependents),
    ...(options.length > 0 ? [`to restore these too, add: ${options.join(" ")}`] : []),
    ...(statements.length > 0 ? ["to add the rest, run as a superuser in psql:", ...statements] : []),
  ];
}

/** How to restore the archives of a dump of several streams with stock tools, in a line for each step. */
export function filesLines(directory: string, files: readonly string[]): string[] {
  if (files.length === 0) return [];
  const path = directory.replace(/\/+$/, "");
  const at = shellQuoted(path.startsWith("-") ? `./${path}` : path);
  return [
    `${plural(files.length, "archive")} of one moment; restore them in this order, into an empty database:`,
    `  pg_restore -d NAME --section=pre-data ${at}/schema.dump`,
    `  for archive in ${at}/data*.dump; do pg_restore -d NAME "$archive" || break; done`,
    `  pg_restore -d NAME --section=post-data -j 4 ${at}/schema.dump`,
  ];
}
