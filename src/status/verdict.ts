import { RULE_KEY } from "../alerts/rule-alerts.ts";
import { GONE_KEY, PATTERN_KEY } from "../alerts/selection-alerts.ts";
import { ageMs } from "../base/clock.ts";
import { DAY_MS } from "../base/limits.ts";
import { plural } from "../base/text/amounts.ts";
import { capital } from "../base/text/capital.ts";
import { isEndedByHand } from "../base/text/states.ts";
import { markName } from "../rule/words.ts";
import { catalogProblems } from "./catalog-outage.ts";
import { notifierProblems } from "./notifiers.ts";
import { recoveryKitProblems } from "./recovery-kit.ts";
import type { AlertStatus, DatabaseStatus, StatusReport, StorageStatus } from "./report.ts";
import { minFreeText, storageState } from "./storage-state.ts";

/** From best to worst. `new`: there is no problem, but no backup yet either. */
const VERDICT_LEVELS = ["good", "new", "warning", "bad"] as const;
export type VerdictLevel = (typeof VERDICT_LEVELS)[number];

/** A report summed up. */
export interface Verdict {
  /** The level of the worst problem. */
  level: VerdictLevel;
  /** One sentence with a full stop. It names at most `NAMED_MAX` databases. */
  sentence: string;
  /** All problems, the worst first, each in a few words without a full stop. */
  problems: Problem[];
}

export interface Problem {
  level: "warning" | "bad";
  text: string;
}

/** A database without a schedule should have its first backup within this time. */
const FIRST_MS_MAX = 2 * DAY_MS;
/** At most this many databases are named; the others are counted. */
const NAMED_MAX = 3;

/** The verdict on a report, the same for the page and for a terminal. */
export function verdictOf(report: StatusReport): Verdict {
  const present = report.databases.filter(isOurs);
  const problems = [
    ...databaseProblems(report, present),
    ...markProblems(present),
    ...report.storages.flatMap(storageProblems),
    ...alertProblems(report),
    ...notifierProblems(report),
    ...daemonProblems(report),
    ...catalogProblems(report),
    ...recoveryKitProblems(report),
    ...globalsProblems(report),
  ].sort((left, right) => Number(right.level === "bad") - Number(left.level === "bad"));
  const level = problems[0]?.level ?? (isNew(present) ? "new" : "good");
  return { level, sentence: sentenceOf(report, present, problems), problems };
}

/** Whether a database is to be backed up by this installation. */
export function isOurs({ state }: Pick<DatabaseStatus, "state">): boolean {
  return state !== "gone" && state !== "elsewhere";
}

/** A report as JSON, the verdict first. */
export function reportJson(report: StatusReport): { verdict: Verdict } & StatusReport {
  return { verdict: verdictOf(report), ...report };
}

/** For globals whose role lost the right to read passwords. */
export const LOST_PASSWORDS = "without passwords, which earlier ones have";

/** A first backup of globals comes with the next run: until then nothing is wrong. */
function globalsProblems({ globals = [] }: StatusReport): Problem[] {
  return globals.flatMap(({ server, state }): Problem[] => {
    const what = `the globals of ${server}`;
    if (state === "failing") return [{ level: "warning", text: `the last backup of ${what} failed` }];
    if (state === "stale")
      return [{ level: "warning", text: `${what} have no good backup of the last dump's time` }];
    if (state === "partial")
      return [{ level: "warning", text: `the newest good backup of ${what} lacks a copy` }];
    return [];
  });
}

function sentenceOf(
  report: StatusReport,
  present: readonly DatabaseStatus[],
  problems: readonly Problem[],
): string {
  const [worst, ...others] = problems;
  if (worst !== undefined) {
    const more = others.length === 0 ? "" : `, and ${plural(others.length, "more problem")}`;
    return `${capital(worst.text)}${more}.`;
  }
  const elsewhere = report.databases.filter(({ state }) => state === "elsewhere").length;
  if (present.length === 0 && elsewhere > 0)
    return `This host only tests backups: ${plural(elsewhere, "database")} of another installation.`;
  if (present.length === 0) return "No database has been found yet.";
  const waiting = present.filter(({ state }) => state === "never").length;
  if (waiting === present.length) return `${waitingText(waiting, "database")}.`;
  const storages = plural(report.storages.length, "storage");
  const first = waiting === 0 ? "" : ` ${waitingText(waiting, "new database")}.`;
  const good = present.length - waiting;
  // Only acknowledged ones: the others are a problem.
  const idle = report.alerts.filter(({ key }) => key.startsWith(PATTERN_KEY));
  const idleNote = idle.length === 0 ? "" : ` ${capital(idleText(idle))}.`;
  const rest = `${first}${goneText(report.databases.length - present.length)}${idleNote}`;
  if (good === 1) return `The database has a recent good backup, in ${storages}.${rest}`;
  return `All ${good} databases have a recent good backup, in ${storages}.${rest}`;
}

function waitingText(count: number, noun: string): string {
  const verb = count === 1 ? "waits for its" : "wait for their";
  return `${capital(plural(count, noun))} ${verb} first backup`;
}

/** The word "all" must not hide databases that are gone from the config or their server. */
function goneText(gone: number): string {
  return gone === 0
    ? ""
    : ` ${capital(plural(gone, "database"))} ${gone === 1 ? "is" : "are"} no longer backed up.`;
}

/** Whether a database has no good backup although one was attempted or should have been made by now. */
export function isOverdue(
  {
    state,
    last_attempt,
    first_seen_at,
    interval_ms,
  }: Pick<DatabaseStatus, "state" | "first_seen_at" | "interval_ms"> & {
    last_attempt: { status: string; error: string | null } | null;
  },
  now: string,
): boolean {
  if (state !== "never") return false;
  const isTried = last_attempt !== null && last_attempt.status !== "RUNNING";
  if (isTried && !isEndedByHand(last_attempt)) return true;
  const waitedMs = ageMs(first_seen_at, new Date(now));
  return waitedMs > (interval_ms === null ? FIRST_MS_MAX : 2 * interval_ms);
}

/** Whether no database has a good backup yet. */
function isNew(present: readonly DatabaseStatus[]): boolean {
  return present.every(({ state }) => state === "never");
}

/** What is wrong with some databases, from their names. */
type ProblemText = (names: string) => string;

function databaseProblems(report: StatusReport, present: readonly DatabaseStatus[]): Problem[] {
  const inState = (state: DatabaseStatus["state"]) => present.filter((database) => database.state === state);
  const problem = (
    level: Problem["level"],
    databases: readonly DatabaseStatus[],
    one: ProblemText,
    many: ProblemText,
  ): Problem[] => {
    if (databases.length === 0) return [];
    return [{ level, text: (databases.length === 1 ? one : many)(named(databases)) }];
  };
  const never = present.filter((database) => isOverdue(database, report.now));
  return [
    ...problem(
      "bad",
      never,
      (name) => `${name} has no good backup`,
      (names) => `${names} have no good backup`,
    ),
    ...problem(
      "bad",
      inState("stale"),
      (name) => `${name} has no recent good backup`,
      (names) => `${names} have no recent good backup`,
    ),
    ...problem(
      "bad",
      inState("failing"),
      (name) => `the last backup of ${name} failed`,
      (names) => `the last backups of ${names} failed`,
    ),
    ...problem(
      "warning",
      inState("partial"),
      (name) => `the newest good backup of ${name} lacks a copy`,
      (names) => `the newest good backups of ${names} lack a copy`,
    ),
  ];
}

/** States that say themselves that a database has too few good copies. */
const SHORT_OF_COPIES: readonly DatabaseStatus["state"][] = ["stale", "failing", "partial", "never"];

/** Lost marks of 3-2-1-1-0; those that are not set up are no problem. An older daemon knows no marks. */
function markProblems(present: readonly DatabaseStatus[]): Problem[] {
  const lost = present.map((database) => {
    const isSaid = SHORT_OF_COPIES.includes(database.state);
    const marks = (database.marks ?? []).filter(
      ({ rule, state }) => state === "lost" && !(isSaid && rule === "copies"),
    );
    return { database, names: marks.map(markName) };
  });
  const databases = lost.flatMap(({ database, names }) => (names.length === 0 ? [] : database));
  if (databases.length === 0) return [];
  const names = [...new Set(lost.flatMap((one) => one.names))];
  const verb = databases.length === 1 ? "has" : "have";
  const text = `${named(databases)} ${verb} lost ${plural(names.length, "mark")} of 3-2-1-1-0: ${names.join(", ")}`;
  return [{ level: "warning", text }];
}

function storageProblems(storage: StorageStatus): Problem[] {
  const { name } = storage;
  switch (storageState(storage)) {
    case "unreachable":
      return [{ level: "bad", text: `storage ${name} is unreachable` }];
    case "below min_free":
      return [{ level: "bad", text: `storage ${name} takes no more copies: ${minFreeText(storage)}` }];
    case "nearly full":
      return [{ level: "warning", text: `storage ${name} is nearly full` }];
    default:
      return [];
  }
}

/** Acknowledged alerts are left out: somebody knows about them already. */
function alertProblems(report: StatusReport): Problem[] {
  const unacknowledged = report.alerts.filter(({ acknowledged_at }) => acknowledged_at === null);
  const gone = unacknowledged.flatMap(({ key, server, database }) =>
    key.startsWith(GONE_KEY) && server !== null && database !== null ? [{ server, database }] : [],
  );
  const idle = unacknowledged.filter(({ key }) => key.startsWith(PATTERN_KEY));
  const isSaid = ({ key }: AlertStatus) => key.startsWith(GONE_KEY) || key.startsWith(RULE_KEY);
  const alerts = unacknowledged.filter((alert) => !isSaid(alert) && !idle.includes(alert));
  const quiet = report.alerts.filter(({ has_cause }) => has_cause).length;
  const openAlerts = (level: Problem["level"], alertLevel: "CRITICAL" | "WARNING"): Problem[] => {
    const open = alerts.filter((alert) => alert.level === alertLevel);
    if (open.length === 0) return [];
    const text = `${plural(open.length, `${alertLevel.toLowerCase()} alert`)} ${open.length === 1 ? "is" : "are"} open`;
    // Said once, with the gravest.
    const isFirst = alertLevel === "CRITICAL" || alerts.every((one) => one.level !== "CRITICAL");
    const more = quiet > 0 && isFirst ? ` (and ${quiet} more with the same cause)` : "";
    return [{ level, text: text + more }];
  };
  const isOne = gone.length === 1;
  const text = `${named(gone)} ${isOne ? "is no longer on its server" : "are no longer on their server"}`;
  return [
    ...openAlerts("bad", "CRITICAL"),
    ...(gone.length === 0 ? [] : [{ level: "warning", text } as const]),
    ...(idle.length === 0 ? [] : [{ level: "warning", text: idleText(idle) } as const]),
    ...openAlerts("warning", "WARNING"),
  ];
}

/** Names and patterns in the config without a database. */
function idleText(alerts: readonly AlertStatus[]): string {
  const [first] = alerts;
  if (first !== undefined && alerts.length === 1) return first.message;
  return `${plural(alerts.length, "name or pattern", "names or patterns")} in the config match no database`;
}

function daemonProblems({ daemon }: StatusReport): Problem[] {
  if (daemon === null) return [{ level: "warning", text: "the daemon does not answer" }];
  return daemon.last_reload?.is_ok === false
    ? [{ level: "warning", text: "the changed config was refused; the previous config stays in force" }]
    : [];
}

function named(databases: readonly Pick<DatabaseStatus, "server" | "database">[]): string {
  const names = databases.slice(0, NAMED_MAX).map(({ server, database }) => `${server}/${database}`);
  const rest = databases.length - names.length;
  const last = rest > 0 ? plural(rest, "other database") : names.pop();
  return names.length === 0 ? `database ${last}` : `databases ${names.join(", ")} and ${last}`;
}
