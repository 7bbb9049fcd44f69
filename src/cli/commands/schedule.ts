import { Pg321Error } from "../../base/errors.ts";
import { visibleData } from "../../base/text/visible.ts";
import { zonedTime } from "../../base/text/zoned-time.ts";
import type { Config } from "../../config/config.ts";
import { cronTimes } from "../../config/cron.ts";
import { databaseRuleName } from "../../config/database/settings.ts";
import type { ScheduledJob } from "../../jobs/schedules.ts";
import { intervalMs, SCHEDULED_JOBS, schedulesOf } from "../../jobs/schedules.ts";
import type { Command } from "../command.ts";
import { isSet, JSON_OPTION, textOption } from "../command.ts";
import { commandConfig } from "../open-context.ts";
import type { Style } from "../output/output.ts";
import { durationText, jsonText, table } from "../output/output.ts";

const COUNT_DEFAULT = 3;
const COUNT_MAX = 1_000;

export const command: Command = {
  usage: "",
  description:
    "Prints the next runs of every schedule in the config's time zone, with its UTC offset. Each run starts up to\n" +
    "schedule.jitter later. Reads only the config: pg321 status shows whether a daemon runs.",
  options: {
    count: { type: "string", value: "N", help: `runs to print for each schedule (default ${COUNT_DEFAULT})` },
    json: JSON_OPTION,
  },
  examples: [
    { command: "pg321 schedule", explanation: "the next three runs of each schedule" },
    { command: "pg321 schedule --count 10 --json", explanation: "ten runs of each, for a program" },
  ],
  positionals: { min: 0, max: 0 },
  async run(invocation) {
    const { arguments: args, output, clock } = invocation;
    const count = countOf(textOption(args, "count"));
    const config = await commandConfig(invocation, { keepsRoot: true });
    const schedules = upcoming(config, clock.now(), count);
    const { timezone, schedule } = config;
    if (isSet(args, "json")) output.print(jsonText({ timezone, jitter_ms: schedule.jitter_ms, schedules }));
    else output.print(textOf(visibleData(schedules), timezone, output.style));
    return 0;
  },
};

/** The next runs of one schedule, or of a job without one. */
interface Upcoming {
  name: string;
  job: ScheduledJob;
  /** Null: the job is off. */
  pattern: string | null;
  /** The longest time between two runs. */
  interval_ms: number | null;
  /** Names and globs of an override or of a [[database]] table; empty for the databases that no override selects. */
  databases: readonly string[];
  /** RFC 3339 with the zone's offset. */
  next_runs: string[];
}

function upcoming(config: Config, now: Date, count: number): Upcoming[] {
  const { timezone } = config;
  const found = schedulesOf(config).map(({ name, job, pattern }): Upcoming => {
    const override = config.schedule.override.find((one) => name === `${job} ${one.name}`);
    const times = cronTimes(pattern, timezone).nextRuns(count, now);
    return {
      name,
      job,
      pattern,
      interval_ms: intervalMs(pattern, timezone, now) ?? null,
      databases: override?.databases ?? databasesOfRule(config, name),
      next_runs: times.map((time) => zonedTime(time, timezone)),
    };
  });
  const isOff = (job: ScheduledJob) => !found.some(({ name }) => name === job);
  const off = SCHEDULED_JOBS.filter(isOff).map(
    (job): Upcoming => ({ name: job, job, pattern: null, interval_ms: null, databases: [], next_runs: [] }),
  );
  return [...found, ...off];
}

function databasesOfRule({ database }: Config, schedule: string): string[] {
  const names = database.map(databaseRuleName);
  return names.filter((name) => schedule === `backup database ${name}`);
}

function countOf(text: string | undefined): number {
  if (text === undefined) return COUNT_DEFAULT;
  const count = Number(text);
  if (/^\d+$/.test(text) && count >= 1 && count <= COUNT_MAX) return count;
  throw new Pg321Error("usage", `schedule: --count is "${text}", expected a number from 1 to ${COUNT_MAX}`);
}

/** One row for each run; the first row of a schedule also shows its name, pattern and databases. */
function textOf(schedules: readonly Upcoming[], timezone: string, style: Style): string {
  const rows = schedules.flatMap((schedule) => {
    const [first = schedule.pattern === null ? "off" : "never", ...others] = schedule.next_runs;
    return [{ schedule, time: first }, ...others.map((time) => ({ schedule: undefined, time }))];
  });
  return table(
    rows,
    [
      { title: "SCHEDULE", isName: true, cell: ({ schedule }) => schedule?.name ?? "" },
      { title: "PATTERN", cell: ({ schedule }) => (schedule ? (schedule.pattern ?? "-") : "") },
      {
        title: "INTERVAL",
        cell: ({ schedule }) =>
          schedule ? (schedule.interval_ms === null ? "-" : durationText(schedule.interval_ms)) : "",
        align: "right",
      },
      { title: `NEXT (${timezone})`, cell: ({ time }) => time },
      { title: "DATABASES", cell: ({ schedule }) => schedule?.databases.join(" ") ?? "" },
    ],
    style,
  );
}
