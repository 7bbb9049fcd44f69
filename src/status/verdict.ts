import { GONE_KEY } from "../alerts/selection-alerts.ts";
import { ageMs } from "../base/clock.ts";
import { DAY_MS } from "../base/limits.ts";
import { plural } from "../base/text/amounts.ts";
import type { DatabaseStatus, StatusReport, StorageStatus } from "./report.ts";

/** `new`: nothing is wrong, but there is no backup yet. From the best to the worst. */
const VERDICT_LEVELS = ["good", "new", "warning", "bad"] as const;
export type VerdictLevel = (typeof VERDICT_LEVELS)[number];

/** What a report comes to. */
export interface Verdict {
  /** That of the worst trouble. */
  level: VerdictLevel;
  /** One sentence, with its full stop. It names no more than a few databases. */
  sentence: string;
  /** Everything that is wrong, the worst first, each in a few words without a full stop. */
  troubles: Trouble[];
}

export interface Trouble {
  level: "warning" | "bad";
  text: string;
}

/** A storage with less of its space left than this is nearly full. */
const FREE_RATIO_MIN = 0.1;
/** A database without a schedule should have a backup by then. */
const FIRST_MS_MAX = 2 * DAY_MS;
/** So many databases are named; the others are counted. */
const NAMED_MAX = 3;

/** The verdict on a report, the same for the page and for a terminal. */
export function verdictOf(report: StatusReport): Verdict {
  const present = report.databases.filter(({ state }) => state !== "gone");
  const troubles = [
    ...databaseTroubles(report, present),
    ...report.storages.flatMap(storageTroubles),
    ...alertTroubles(report),
    ...daemonTroubles(report),
  ].sort((left, right) => Number(right.level === "bad") - Number(left.level === "bad"));
  const level = troubles[0]?.level ?? (isNew(present) ? "new" : "good");
  return { level, sentence: sentenceOf(report, present, troubles), troubles };
}

function sentenceOf(
  report: StatusReport,
  present: readonly DatabaseStatus[],
  troubles: readonly Trouble[],
): string {
  const [worst, ...others] = troubles;
  if (worst !== undefined) {
    const more = others.length === 0 ? "" : `, and ${others.length} more to look at`;
    return `${capital(worst.text)}${more}.`;
  }
  if (present.length === 0) return "No database has been seen yet.";
  const waiting = present.filter(({ state }) => state === "never").length;
  if (waiting === present.length) return `${capital(plural(waiting, "database"))} will get a first backup.`;
  const storages = plural(report.storages.length, "storage");
  const first = waiting === 0 ? "" : ` ${capital(plural(waiting, "new database"))} will get a first one.`;
  const good = present.length - waiting;
  const rest = `${first}${leftOut(report.databases.length - present.length)}`;
  if (good === 1) return `The database has a good backup in time, in ${storages}.${rest}`;
  return `All ${good} databases have a good backup in time, in ${storages}.${rest}`;
}

/** "All" must not hide those that the config, or their server, has no more. */
function leftOut(gone: number): string {
  return gone === 0
    ? ""
    : ` ${capital(plural(gone, "database"))} ${gone === 1 ? "is" : "are"} no longer backed up.`;
}

/** Whether a database without any good backup was tried in vain, or should have had one by now. */
export function isOverdue(
  { state, last_attempt, first_seen_at, interval_ms }: DatabaseStatus,
  now: string,
): boolean {
  if (state !== "never") return false;
  if (last_attempt !== null && last_attempt.status !== "RUNNING") return true;
  const waitedMs = ageMs(first_seen_at, new Date(now));
  return waitedMs > (interval_ms === null ? FIRST_MS_MAX : 2 * interval_ms);
}

/** Whether there is nothing to be judged yet. */
function isNew(present: readonly DatabaseStatus[]): boolean {
  return present.every(({ state }) => state === "never");
}

function databaseTroubles(report: StatusReport, present: readonly DatabaseStatus[]): Trouble[] {
  const inState = (state: DatabaseStatus["state"]) => present.filter((database) => database.state === state);
  const tell = (level: Trouble["level"], databases: readonly DatabaseStatus[], one: string, many: string) =>
    databases.length === 0
      ? []
      : [{ level, text: `${named(databases)} ${databases.length === 1 ? one : many}` }];
  const never = present.filter((database) => isOverdue(database, report.now));
  return [
    ...tell("bad", never, "has no good backup at all", "have no good backup at all"),
    ...tell("bad", inState("stale"), "has no good backup in time", "have no good backup in time"),
    ...tell("bad", inState("failing"), "failed at the last backup", "failed at the last backup"),
    ...tell("warning", inState("partial"), "lacks a copy", "lack a copy"),
  ];
}

function storageTroubles({ name, is_reachable, free_bytes, total_bytes }: StorageStatus): Trouble[] {
  if (is_reachable === false) return [{ level: "bad", text: `storage ${name} cannot be reached` }];
  if (free_bytes === null || total_bytes === null || total_bytes <= 0) return [];
  return isNearlyFull({ free_bytes, total_bytes })
    ? [{ level: "warning", text: `storage ${name} is nearly full` }]
    : [];
}

/** Less than a tenth of its space is left. */
export function isNearlyFull({
  free_bytes,
  total_bytes,
}: Pick<StorageStatus, "free_bytes" | "total_bytes">): boolean {
  if (free_bytes === null || total_bytes === null || total_bytes <= 0) return false;
  return free_bytes < FREE_RATIO_MIN * total_bytes;
}

/** Those that somebody has acknowledged are known, and are no news at 3 a.m. */
function alertTroubles(report: StatusReport): Trouble[] {
  const unknown = report.alerts.filter(({ acknowledged_at }) => acknowledged_at === null);
  const gone = unknown.flatMap(({ key, server, database }) =>
    key.startsWith(GONE_KEY) && server !== null && database !== null ? [{ server, database }] : [],
  );
  const alerts = unknown.filter(({ key }) => !key.startsWith(GONE_KEY));
  const tell = (level: Trouble["level"], alertLevel: "CRITICAL" | "WARNING"): Trouble[] => {
    const open = alerts.filter((alert) => alert.level === alertLevel);
    if (open.length === 0) return [];
    const text = `${plural(open.length, `${alertLevel.toLowerCase()} alert`)} ${open.length === 1 ? "is" : "are"} open`;
    return [{ level, text }];
  };
  const isOne = gone.length === 1;
  const text = `${named(gone)} ${isOne ? "is not on its server" : "are not on their server"} any more`;
  return [
    ...tell("bad", "CRITICAL"),
    ...(gone.length === 0 ? [] : [{ level: "warning", text } as const]),
    ...tell("warning", "WARNING"),
  ];
}

function daemonTroubles({ daemon }: StatusReport): Trouble[] {
  if (daemon === null) return [{ level: "warning", text: "no daemon answers" }];
  return daemon.last_reload?.is_ok === false
    ? [{ level: "warning", text: "the changed config was refused, and the one before it stays in force" }]
    : [];
}

function named(databases: readonly Pick<DatabaseStatus, "server" | "database">[]): string {
  const names = databases.slice(0, NAMED_MAX).map(({ server, database }) => `${server}/${database}`);
  const rest = databases.length - names.length;
  const last = rest > 0 ? plural(rest, "other database") : names.pop();
  return names.length === 0 ? `database ${last}` : `databases ${names.join(", ")} and ${last}`;
}

function capital(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
