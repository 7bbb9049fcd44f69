import { ageMs } from "../../base/clock.ts";
import { atOnce, type Steps } from "../../base/steps.ts";
import { durationText, plural } from "../../base/text/amounts.ts";
import { outcomeWord } from "../../base/text/states.ts";
import { PLAIN, type Style, tableSteps } from "../../base/text/table.ts";
import { wallTime } from "../../base/text/zoned-time.ts";
import { alertTable } from "../text.ts";
import { type NextRun, nextRun } from "./next-run.ts";
import type { FleetDatabase, FleetHost, FleetReport, FleetRun } from "./report.ts";
import { fleetVerdict } from "./verdict.ts";

/** More hosts, jobs and databases without a problem are counted only; the JSON has all. */
const GOOD_MAX = 100;
const RANK: Readonly<Record<FleetDatabase["state"], number>> = {
  ...{ stale: 0, failing: 1, never: 2, partial: 3, good: 4, gone: 5 },
};
const HOST_RANK: readonly FleetHost["state"][] = ["silent", "stopped", "up", "never"];
const GOOD_OUTCOMES = new Set(["OK", "IDLE", "RUNNING", "SKIPPED"]);
const BAD = new Set(["stale", "failing", "FAILED", "INTERRUPTED", "silent"]);
const GOOD = new Set(["good", "OK", "up"]);

/** A report about all hosts as text, the verdict first. Its strings must have passed `visibleData`. */
export function fleetText(report: FleetReport, style: Style = PLAIN): string {
  return atOnce(fleetSteps(report, style));
}

/** `fleetText`, in steps between which other work gets its turn. */
export function* fleetSteps(report: FleetReport, style: Style = PLAIN): Steps<string> {
  const { level, sentence, problems } = fleetVerdict(report);
  const colour = { good: style.good, new: style.bold, warning: style.warn, bad: style.bad }[level];
  const { version, host, now, catalog } = report;
  const parts = [
    [
      colour(sentence),
      ...(problems.length > 1 ? problems.map(({ text }) => `  - ${text}`) : []),
      "",
      `pg321 ${version} on ${host}, ${wallTime(now, style)} ${style.timezone ?? "UTC"}`,
      `catalog ${catalog.at}${catalog.is_shared ? "" : ", a file of this host"}`,
    ].join("\n"),
    titled(style, "ALERTS", yield* alertTable(report, style)),
    titled(style, "HOSTS", yield* hostTable(report, style)),
    titled(style, "LAST AND NEXT RUNS", yield* runTable(report, style)),
    titled(style, "DATABASES", (yield* databaseTable(report, style)) ?? "no database has been found yet"),
  ];
  return parts.filter((part) => part !== undefined).join("\n\n");
}

function titled(style: Style, title: string, text: string | undefined): string | undefined {
  return text === undefined ? undefined : `${style.bold(title)}\n${text}`;
}

function* hostTable({ hosts, now }: FleetReport, style: Style): Steps<string> {
  const sorted = hosts.toSorted(
    (left, right) => HOST_RANK.indexOf(left.state) - HOST_RANK.indexOf(right.state),
  );
  const troubled = sorted.filter(({ state, problems }) => state !== "up" || problems.length > 0);
  const shown = sorted.slice(0, Math.max(GOOD_MAX, troubled.length));
  const text = yield* tableSteps(
    shown,
    [
      { title: "HOST", isName: true, cell: ({ host }) => host },
      { title: "DAEMON", cell: (host) => daemonText(host, style) },
      { title: "DATABASES", cell: (host) => statesText(host, style) },
      {
        title: "OLDEST GOOD",
        cell: ({ oldest_success_at: at }) => (at === null ? "-" : durationText(ageMs(at, new Date(now)))),
        align: "right",
      },
      { title: "VERSION", cell: ({ version }) => version ?? "-" },
      { title: "MARKS", cell: ({ marks }) => marksText(marks, style) },
      { title: "NOTE", cell: ({ problems }) => problems.join("; ") },
    ],
    style,
  );
  return withRest(text, sorted.length - shown.length, "more host");
}

function daemonText({ state, heartbeat_age_ms, as_of }: FleetHost, style: Style): string {
  const age = durationText(heartbeat_age_ms);
  if (as_of !== null) return `${state === "never" ? "no daemon" : state} as of ${wallTime(as_of, style)}`;
  if (state === "up") return `${style.good("up")}, seen ${age} ago`;
  if (state === "silent") return `${style.bad("silent")} for ${age}`;
  return state === "stopped" ? `${style.warn("stopped")} ${age} ago` : style.dim("no daemon");
}

function statesText({ databases }: FleetHost, style: Style): string {
  const counts = (Object.keys(RANK) as FleetDatabase["state"][]).flatMap((state) =>
    databases[state] === 0 ? [] : [`${databases[state]} ${coloured(state, style)}`],
  );
  return counts.join(", ") || "-";
}

function marksText({ held, lost, not_set_up }: FleetHost["marks"], style: Style): string {
  if (held + lost + not_set_up === 0) return "-";
  const missing = not_set_up === 0 ? [] : [`${not_set_up} not set up`];
  if (lost === 0) return [style.good(`${held} held`), ...missing].join(", ");
  return [style.bad(`${lost} lost`), `${held} held`, ...missing].join(", ");
}

interface RunRow {
  host: string;
  job: string;
  last: FleetRun | undefined;
  next: NextRun;
}

function* runTable({ hosts, now }: FleetReport, style: Style): Steps<string | undefined> {
  const rows = hosts.flatMap((one): RunRow[] => {
    const { host, last_runs, next_runs } = one;
    const jobs = new Set([...next_runs.map(({ job }) => job), ...last_runs.map(({ job }) => job)]);
    return [...jobs].map((job) => ({
      ...{ host, job, last: last_runs.find((one) => one.job === job) },
      next: nextRun(one, now, job),
    }));
  });
  if (rows.length === 0) return undefined;
  const isGood = ({ last }: RunRow) => last === undefined || GOOD_OUTCOMES.has(last.outcome);
  const shown = rows.length <= GOOD_MAX ? rows : rows.filter((row) => !isGood(row));
  if (shown.length === 0)
    return `${plural(rows.length, "job")} without a failed last run: pg321 status --fleet --json`;
  const text = yield* tableSteps(
    shown,
    [
      { title: "HOST", isName: true, cell: ({ host }) => host },
      { title: "JOB", cell: ({ job }) => job },
      { title: "LAST RUN", cell: ({ last }) => wallTime(last?.started_at, style) },
      { title: "OUTCOME", cell: ({ last }) => (last ? coloured(outcomeWord(last), style) : "-") },
      { title: "NEXT RUN", cell: ({ next }) => (next === "due" ? next : wallTime(next, style)) },
    ],
    style,
  );
  return withRest(text, rows.length - shown.length, "more job");
}

function* databaseTable({ databases }: FleetReport, style: Style): Steps<string | undefined> {
  if (databases.length === 0) return undefined;
  const sorted = databases.toSorted((left, right) => RANK[left.state] - RANK[right.state]);
  const problems = sorted.filter(({ state }) => RANK[state] < RANK.good);
  const shown = sorted.slice(0, problems.length + GOOD_MAX);
  const rest = sorted.length - shown.length;
  const text = yield* tableSteps(
    shown,
    [
      { title: "DATABASE", isName: true, cell: ({ server, database }) => `${server}/${database}` },
      { title: "HOST", isName: true, cell: ({ host }) => host ?? "-" },
      { title: "STATE", cell: ({ state }) => coloured(state, style) },
      { title: "NEWEST GOOD", cell: ({ newest_good }) => wallTime(newest_good?.started_at, style) },
      { title: "AGE", cell: ({ newest_good }) => durationText(newest_good?.age_ms), align: "right" },
    ],
    style,
  );
  return withRest(text, rest, "more database");
}

function withRest(text: string, rest: number, noun: string): string {
  return rest <= 0 ? text : `${text}\nand ${plural(rest, noun)}: pg321 status --fleet --json`;
}

function coloured(word: string, style: Style): string {
  if (GOOD.has(word)) return style.good(word);
  return BAD.has(word) ? style.bad(word) : style.warn(word);
}
