import { EXIT_CODES, exitCodeOf, Pg321Error } from "../base/errors.ts";
import { plural } from "../base/text/amounts.ts";
import { visible, visibleData } from "../base/text/visible.ts";
import { timeTitle, wallTime } from "../base/text/zoned-time.ts";
import { shortId } from "../jobs/copies/object-key.ts";
import { serverOutcome } from "../jobs/restore/server/record.ts";
import type { RestoredDatabase, ServerRestoreReport } from "../jobs/restore/server/report.ts";
import { restoreServer } from "../jobs/restore/server/restore-server.ts";
import type { Arguments, Command, Invocation } from "./command.ts";
import { isSet, textOption, UTC_OPTION } from "./command.ts";
import { commandConfig, contextWith } from "./open-context.ts";
import { globalsLines } from "./output/globals-text.ts";
import type { Style } from "./output/output.ts";
import { durationText, jsonText, table } from "./output/output.ts";
import { integerOption } from "./parse.ts";
import { givenPassword, openTarget, targetOf } from "./restore-target.ts";
import type { TimeContext } from "./time-option.ts";
import { TIME_HELP, timeOption } from "./time-option.ts";

/** The options of a restore of a whole server. */
export const SERVER_OPTIONS: Command["options"] = {
  server: {
    type: "string",
    short: "s",
    value: "NAME",
    help: "a whole server: its globals, then every database; --target names a database to connect to, such as postgres",
    values: { live: ["server"] },
  },
  at: {
    type: "string",
    value: "TIME",
    help: `with --server: the databases of that moment, each from its newest good backup: latest (the default), ${TIME_HELP}; a day means its beginning`,
    values: { words: ["latest"] },
  },
  "databases-at-once": {
    type: "string",
    value: "N",
    help: "with --server: restore N databases at a time (default 1)",
  },
  resume: {
    type: "boolean",
    help: "with --server: go on with a restore that was cut off; skip what is restored and whole",
  },
  utc: { ...UTC_OPTION, help: "with --server: --at and times in UTC, not in your zone" },
};

/** What goes with `--server`. */
const TAKEN = [
  "server",
  "at",
  "databases-at-once",
  "resume",
  "utc",
  "target",
  "password-file",
  "as",
  "from",
  "jobs",
].concat(["dry-run", "json", "config", "log-level", "log-format", "help", "quiet", "progress"]);

/** Throws code `usage` if an option is given that goes only with `--server`. */
export function refuseWithoutServer({ options }: Arguments): void {
  const given = Object.keys(SERVER_OPTIONS).find((name) => options[name] !== undefined);
  if (given === undefined) return;
  throw new Pg321Error("usage", `restore: --${given} needs --server`, {
    hint: "pg321 restore --server NAME --at latest --target …",
  });
}

/** `pg321 restore --server` */
export async function restoreServerCommand(invocation: Invocation): Promise<number> {
  const { arguments: args, output, clock } = invocation;
  refuseOthers(args);
  const timezone = output.style.timezone ?? "UTC";
  const at = momentOption(textOption(args, "at"), { now: clock.now(), timezone });
  const atMost = { min: 1, max: 64 };
  const databasesAtOnce =
    integerOption("restore", "databases-at-once", textOption(args, "databases-at-once"), atMost) ?? 1;
  const jobs = integerOption("restore", "jobs", textOption(args, "jobs"), { min: 1, max: 256 });
  const password = await givenPassword(args);
  const config = await commandConfig(invocation, { keepsRoot: true, setsAside: true });
  await using opened = await openTarget(args, config, password);
  await using context = await contextWith(invocation, config);
  const { target, binDir } = targetOf(args, config, password);
  const dryRun = isSet(args, "dry-run");
  const report = await restoreServer(context, {
    ...{ server: textOption(args, "server") ?? "", at, binDir, databasesAtOnce, jobs, dryRun },
    target: opened?.endpoint ?? target,
    from: textOption(args, "from"),
    resume: isSet(args, "resume"),
  });
  const { cause: _cause, isRefused, ...shown } = report;
  if (isSet(args, "json")) output.print(jsonText({ ...shown, dry_run: dryRun }));
  else output.print(textOf(visibleData({ ...shown, isRefused }), dryRun, output.style));
  return exitCodeFor(report);
}

function refuseOthers({ options, positionals }: Arguments): void {
  const refused = Object.keys(options).find((name) => options[name] !== undefined && !TAKEN.includes(name));
  const [id] = positionals;
  if (refused === undefined && id === undefined) return;
  const what = refused === undefined ? `the argument ${visible(id ?? "")}` : `--${refused}`;
  throw new Pg321Error("usage", `restore: ${what} cannot be used with --server`, {
    hint: "--server restores every database, with all roles, into new databases: restore a single one by its ID or with -d",
  });
}

/** Undefined: the newest backups. */
export function momentOption(
  text: string | undefined,
  { now, timezone }: Pick<TimeContext, "now" | "timezone">,
): Date | undefined {
  if (text === "latest") return undefined;
  const time = timeOption(text, { command: "restore", name: "at", now, timezone, edge: "first" });
  if (time !== undefined && time > now)
    throw new Pg321Error("usage", `restore: --at ${visible(text ?? "")} is in the future`, {
      hint: `latest, ${TIME_HELP}`,
    });
  return time;
}

/** 0 if every database is there, with all roles and memberships, the code of the first failure if none was restored, 3 otherwise. */
export function exitCodeFor(
  report: Pick<ServerRestoreReport, "databases" | "globals" | "left_out" | "cause">,
): number {
  const having = (wanted: RestoredDatabase["outcome"]) =>
    report.databases.some(({ outcome }) => outcome === wanted);
  const outcome = serverOutcome(report);
  if (outcome === "OK") return EXIT_CODES.ok;
  return outcome === "FAILED" || (having("failed") && having("planned"))
    ? exitCodeOf(report.cause)
    : EXIT_CODES.partial;
}

function textOf(report: Omit<ServerRestoreReport, "cause">, isDryRun: boolean, style: Style): string {
  const { server, globals, databases, left_out, warnings, isRefused } = report;
  const failed = databases.filter(({ outcome }) => outcome === "failed");
  const hints = new Set(failed.flatMap(({ hint }) => hint ?? []));
  const rows = table(
    databases,
    [
      { title: "DATABASE", isName: true, cell: ({ database }) => database },
      { title: "BACKUP", cell: ({ backup_id }) => shortId(backup_id) },
      { title: timeTitle("OF", style), cell: ({ started_at }) => wallTime(started_at, style) },
      { title: "OUTCOME", cell: ({ outcome }) => coloured(outcome, style) },
      {
        title: "TABLES",
        cell: ({ tables }) => (tables === null ? "-" : tables.toLocaleString("en")),
        align: "right",
      },
      {
        title: "ROWS",
        cell: ({ rows: count }) => (count === null ? "-" : count.toLocaleString("en")),
        align: "right",
      },
      {
        title: "TIME",
        cell: ({ duration_ms }) => (duration_ms === null ? "-" : durationText(duration_ms)),
        align: "right",
      },
    ],
    style,
  );
  const whole = databases.length - failed.length;
  const planned = isRefused
    ? style.bad(`would change nothing: the target has ${plural(failed.length, "database")} in the way`)
    : `would restore ${plural(whole, "database")} of ${server}`;
  return [
    ...globalsLines(globals, isDryRun, style),
    ...(globals === null
      ? [
          style.warn(
            `no backup of the globals of ${server}: roles are created without login, password and memberships`,
          ),
        ]
      : []),
    rows,
    ...warnings.map((warning) => `${style.warn("warning")} ${warning}`),
    ...left_out.map(({ database, reason }) => `${style.warn("left out")} ${database}: ${reason}`),
    ...failed.map(({ database, error }) => `${style.bad("error:")} ${database}: ${error}`),
    ...[...hints].map((hint) => `${style.dim("hint:")} ${hint}`),
    isDryRun
      ? planned
      : `${plural(whole, "database")} of ${server} ${whole === 1 ? "is" : "are"} there, ${failed.length} failed${missingText(left_out)}`,
    ...(failed.length > 0 && !isDryRun
      ? ["correct the reasons, then run the same command with --resume"]
      : []),
  ].join("\n");
}

function missingText(left_out: ServerRestoreReport["left_out"]): string {
  const missing = left_out.filter(({ kind }) => kind === "no_backup").length;
  return missing === 0 ? "" : `, ${missing} without a good backup`;
}

function coloured(outcome: RestoredDatabase["outcome"], style: Style): string {
  if (outcome === "failed") return style.bad(outcome);
  return outcome === "partial" ? style.warn(outcome) : style.good(outcome);
}
