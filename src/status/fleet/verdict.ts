import { hostKey } from "../../alerts/host-key.ts";
import { durationText, plural } from "../../base/text/amounts.ts";
import { capital } from "../../base/text/capital.ts";
import { timeText } from "../../base/text/zoned-time.ts";
import type { Problem, Verdict, VerdictLevel } from "../verdict.ts";
import type { FleetDatabase, FleetDatabaseState, FleetHost, FleetReport } from "./report.ts";

/** At most this many hosts or databases are named; the others are counted. */
const NAMED_MAX = 3;

/** The verdict on all hosts, the same for the page and for a terminal. */
export function fleetVerdict(report: FleetReport): Verdict {
  const problems = [
    ...catalogProblems(report),
    ...hostProblems(report),
    ...databaseProblems(report),
    ...alertProblems(report),
  ].sort((left, right) => Number(right.level === "bad") - Number(left.level === "bad"));
  const isNew = report.databases.every(({ state }) => state === "never" || state === "gone");
  const level: VerdictLevel = problems[0]?.level ?? (isNew ? "new" : "good");
  return { level, sentence: sentenceOf(report, problems), problems };
}

/** A report as JSON, the verdict first. */
export function fleetJson(report: FleetReport): { verdict: Verdict } & FleetReport {
  return { verdict: fleetVerdict(report), ...report };
}

/** The databases of a host that are still backed up. */
export function presentDatabases({ databases }: Pick<FleetHost, "databases">): number {
  const { gone: _, ...present } = databases;
  return Object.values(present).reduce((sum, count) => sum + count, 0);
}

function sentenceOf({ hosts, databases }: FleetReport, problems: readonly Problem[]): string {
  const [worst, ...others] = problems;
  if (worst !== undefined) {
    const more = others.length === 0 ? "" : `, and ${plural(others.length, "more problem")}`;
    return `${capital(worst.text)}${more}.`;
  }
  const up = hosts.filter(({ state }) => state === "up").length;
  const present = databases.filter(({ state }) => state !== "gone");
  const of = up === hosts.length ? plural(up, "host") : `${up} of ${plural(hosts.length, "host")}`;
  const head = `${capital(of)} ${up === 1 ? "is" : "are"} up`;
  if (present.length === 0) return `${head}; no database has been found yet.`;
  const waiting = present.filter(({ state }) => state === "never").length;
  if (waiting === present.length)
    return `${head}; ${plural(waiting, "database waits", "databases wait")} for the first backup.`;
  const rest =
    waiting === 0 ? "" : `; ${waiting} ${waiting === 1 ? "waits for its" : "wait for their"} first backup`;
  return `${head}; ${plural(present.length - waiting, "database has", "databases have")} a recent good backup${rest}.`;
}

function catalogProblems({ catalog: { unreachable_since: since, known_at } }: FleetReport): Problem[] {
  if (since === null) return [];
  const text = `the catalog is unreachable since ${timeText(since)}: other hosts are shown as of ${timeText(known_at ?? since)}`;
  // As for one host: backups go on meanwhile.
  return [{ level: "warning", text }];
}

const isSilent = ({ state }: FleetHost) => state === "silent";
const isStopped = (host: FleetHost) => host.state === "stopped" && presentDatabases(host) > 0;

function hostProblems({ hosts }: FleetReport): Problem[] {
  const silent = hosts.filter(isSilent);
  const stopped = hosts.filter(isStopped);
  const troubled = hosts.filter(({ state, problems }) => state === "up" && problems.length > 0);
  const [first] = silent;
  return [
    ...(first === undefined
      ? []
      : [
          {
            level: "bad",
            text:
              silent.length === 1
                ? `host ${first.host} has been silent for ${durationText(first.heartbeat_age_ms)}`
                : `${named(
                    silent.map(({ host }) => host),
                    "host",
                  )} are silent`,
          } as const,
        ]),
    ...one(
      "warning",
      stopped.map(({ host }) => host),
      "host",
      (names, isOne) => `the ${isOne ? "daemon" : "daemons"} of ${names} ${isOne ? "is" : "are"} stopped`,
    ),
    ...one(
      "bad",
      troubled.map(({ host }) => host),
      "host",
      (names, isOne) => `the ${isOne ? "daemon" : "daemons"} of ${names} ${isOne ? "has" : "have"} problems`,
    ),
  ];
}

const DATABASE_PROBLEMS: readonly [
  FleetDatabaseState,
  Problem["level"],
  (names: string, isOne: boolean) => string,
][] = [
  ["stale", "bad", (names, isOne) => `${names} ${isOne ? "has" : "have"} no recent good backup`],
  ["failing", "bad", (names, isOne) => `the last ${isOne ? "backup" : "backups"} of ${names} failed`],
  [
    "partial",
    "warning",
    (names, isOne) =>
      `the newest good ${isOne ? "backup" : "backups"} of ${names} ${isOne ? "lacks" : "lack"} a copy`,
  ],
];

function databaseProblems({ databases }: FleetReport): Problem[] {
  const nameOf = ({ server, database }: FleetDatabase) => `${server}/${database}`;
  const lost = databases.filter(
    ({ state, marks }) => state !== "gone" && marks.some((mark) => mark.state === "lost"),
  );
  return [
    ...one(
      "bad",
      databases.filter(({ is_overdue }) => is_overdue).map(nameOf),
      "database",
      (names, isOne) => `${names} ${isOne ? "has" : "have"} no good backup`,
    ),
    ...DATABASE_PROBLEMS.flatMap(([state, level, text]) =>
      one(level, databases.filter((database) => database.state === state).map(nameOf), "database", text),
    ),
    ...one(
      "warning",
      lost.map(nameOf),
      "database",
      (names, isOne) => `${names} ${isOne ? "has" : "have"} lost marks of 3-2-1-1-0`,
    ),
  ];
}

/** Alerts about hosts that are a problem already are only counted beside the others, as are those that somebody knows. */
function alertProblems({ alerts, hosts }: FleetReport): Problem[] {
  const down = new Set(
    hosts.filter((host) => isSilent(host) || isStopped(host)).map(({ host }) => hostKey(host)),
  );
  return (["CRITICAL", "WARNING"] as const).flatMap((alertLevel): Problem[] => {
    const open = alerts.filter(({ level }) => level === alertLevel);
    const known = open.filter(({ acknowledged_at }) => acknowledged_at !== null);
    const ofHosts = open.filter((alert) => !known.includes(alert) && down.has(alert.key)).length;
    const count = open.length - known.length - ofHosts;
    if (count === 0) return [];
    const quiet = known.filter(({ has_cause }) => has_cause).length;
    const others = [
      ...(ofHosts === 0 ? [] : [`${ofHosts} about ${ofHosts === 1 ? "a host" : "hosts"}`]),
      ...(quiet === 0 ? [] : [`${quiet} with the same cause`]),
      ...(known.length === quiet ? [] : [`${known.length - quiet} acknowledged`]),
    ];
    const beside = others.length === 0 ? "" : ` (and ${others.join(", ")})`;
    const text = `${plural(count, `${alertLevel.toLowerCase()} alert`)} ${count === 1 ? "is" : "are"} open${beside}`;
    return [{ level: alertLevel === "CRITICAL" ? "bad" : "warning", text }];
  });
}

function one(
  level: Problem["level"],
  names: readonly string[],
  noun: string,
  text: (names: string, isOne: boolean) => string,
): Problem[] {
  return names.length === 0 ? [] : [{ level, text: text(named(names, noun), names.length === 1) }];
}

function named(all: readonly string[], noun: string): string {
  const names = all.slice(0, NAMED_MAX);
  const rest = all.length - names.length;
  const last = rest > 0 ? plural(rest, `other ${noun}`) : names.pop();
  return names.length === 0 ? `${noun} ${last}` : `${noun}s ${names.join(", ")} and ${last}`;
}
