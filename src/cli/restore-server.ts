import { EXIT_CODES, exitCodeOf, Pg321Error } from "../base/errors.ts";
import { plural } from "../base/text/amounts.ts";
import { visible, visibleData } from "../base/text/visible.ts";
import { shortId } from "../jobs/copies/object-key.ts";
import { globalsNotMade } from "../jobs/restore/globals-not-made.ts";
import type { RestoredDatabase, ServerRestoreReport } from "../jobs/restore/server/report.ts";
import { restoreServer } from "../jobs/restore/server/restore-server.ts";
import type { Arguments, Command, Invocation } from "./command.ts";
import { isSet, textOption } from "./command.ts";
import { commandConfig, contextWith } from "./open-context.ts";
import { globalsLines } from "./output/globals-text.ts";
import type { Style } from "./output/output.ts";
import { durationText, jsonText, table } from "./output/output.ts";
import { integerOption } from "./parse.ts";
import { givenPassword, openTarget, targetOf } from "./restore-target.ts";

/** The options of a restore of a whole server. */
export const SERVER_OPTIONS: Command["options"] = {
  server: {
    type: "string",
    short: "s",
    value: "NAME",
    help: "a whole server: its globals, then every database; --target names a database to connect to, such as postgres",
  },
  at: {
    type: "string",
    value: "TIME",
    help: "with --server: the databases of that moment, each from its newest good backup: 2027-01-31T18:00Z (UTC), or latest (the default)",
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
};

/** What goes with `--server`. */
const TAKEN = [
  "server",
  "at",
  "databases-at-once",
  "resume",
  "target",
  "password-file",
  "as",
  "from",
  "jobs",
].concat(["dry-run", "json", "config", "log-level", "log-format", "help"]);

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
  const at = momentOption(textOption(args, "at"), clock.now());
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
  const { cause: _cause, ...shown } = report;
  if (isSet(args, "json")) output.print(jsonText({ ...shown, dry_run: dryRun }));
  else output.print(textOf(visibleData(shown), dryRun, output.style));
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
function momentOption(text: string | undefined, now: Date): Date | undefined {
  if (text === undefined || text === "latest") return undefined;
  const match = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?Z)?$/.exec(text);
  const time = new Date(match ? text : Number.NaN);
  const refuse = (problem: string) =>
    new Pg321Error("usage", `restore: --at ${visible(text)} ${problem}`, {
      hint: "latest, a day such as 2027-01-31, or 2027-01-31T18:00Z",
    });
  if (Number.isNaN(time.getTime()) || !time.toISOString().startsWith(text.slice(0, 10)))
    throw refuse("is not a time");
  if (time > now) throw refuse("is in the future");
  return time;
}

/** 0 if every database is there, with all roles and memberships, the code of the first failure if none was restored, 3 otherwise. */
export function exitCodeFor({
  databases,
  globals,
  left_out,
  cause,
}: Pick<ServerRestoreReport, "databases" | "globals" | "left_out" | "cause">): number {
  const having = (...outcomes: RestoredDatabase["outcome"][]) =>
    databases.filter(({ outcome }) => outcomes.includes(outcome)).length;
  const failed = having("failed");
  const missing = left_out.filter(({ kind }) => kind === "no_backup").length;
  const incomplete = having("partial") + missing + globalsNotMade(globals);
  if (failed === 0) return incomplete > 0 ? EXIT_CODES.partial : EXIT_CODES.ok;
  return failed === databases.length || having("planned") > 0 ? exitCodeOf(cause) : EXIT_CODES.partial;
}

function textOf(report: Omit<ServerRestoreReport, "cause">, isDryRun: boolean, style: Style): string {
  const { server, globals, databases, left_out } = report;
  const failed = databases.filter(({ outcome }) => outcome === "failed");
  const rows = table(
    databases,
    [
      { title: "DATABASE", cell: ({ database }) => database },
      { title: "BACKUP", cell: ({ backup_id }) => shortId(backup_id) },
      { title: "OF (UTC)", cell: ({ started_at }) => started_at.slice(0, 19).replace("T", " ") },
      { title: "OUTCOME", cell: ({ outcome }) => coloured(outcome, style) },
      { title: "TABLES", cell: ({ tables }) => (tables === null ? "-" : String(tables)), align: "right" },
      { title: "ROWS", cell: ({ rows: count }) => (count === null ? "-" : String(count)), align: "right" },
      {
        title: "TIME",
        cell: ({ duration_ms }) => (duration_ms === null ? "-" : durationText(duration_ms)),
        align: "right",
      },
    ],
    style,
  );
  const whole = databases.length - failed.length;
  const done = isDryRun ? `would restore ${plural(whole, "database")} of ${server}` : "";
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
    ...left_out.map(({ database, reason }) => `${style.warn("left out")} ${database}: ${reason}`),
    ...failed.flatMap(({ database, error, hint }) => [
      `${style.bad("error:")} ${database}: ${error}`,
      ...(hint === null ? [] : [`${style.dim("hint:")} ${hint}`]),
    ]),
    done ||
      `${plural(whole, "database")} of ${server} ${whole === 1 ? "is" : "are"} there, ${failed.length} failed${missingText(left_out)}`,
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
