import { atOnce, type Steps } from "../base/steps.ts";
import { durationText, plural, sizeText } from "../base/text/amounts.ts";
import { backupWord, isEndedByHand, outcomeWord } from "../base/text/states.ts";
import { type Column, PLAIN, type Style, tableSteps } from "../base/text/table.ts";
import { visible } from "../base/text/visible.ts";
import { wallTime } from "../base/text/zoned-time.ts";
import { lastAttempt } from "./last-attempt.ts";
import { compactMarks, missingMarks } from "./marks-text.ts";
import { notifierState } from "./notifiers.ts";
import { recoveryKitLines } from "./recovery-kit.ts";
import type {
  AlertStatus,
  DatabaseStatus,
  GlobalsStatus,
  RunningStatus,
  RunStatus,
  StatusReport,
  StorageStatus,
} from "./report.ts";
import { restoreTestTable } from "./restore-tests.ts";
import { minFreeText, storageState } from "./storage-state.ts";
import { LOST_PASSWORDS, verdictOf } from "./verdict.ts";

/** The order of the table of databases: problems first. */
const BY_URGENCY: readonly DatabaseStatus["state"][] = [
  "stale",
  "failing",
  "never",
  "partial",
  "good",
  "gone",
  "elsewhere",
];
/** To make one takes much longer than to use it. */
const COUNT = new Intl.NumberFormat("en");
const GOOD = new Set(["good", "OK", "reachable", "delivering", "INFO"]);
const BAD = new Set([
  "stale",
  "failing",
  "FAILED",
  "INTERRUPTED",
  "unreachable",
  "below min_free",
  "not delivering",
  "CRITICAL",
]);
/** Longer errors are cut so that lines do not wrap; `pg321 show` and the JSON have them in full. */
const NOTE_CHARACTERS_MAX = 120;

/**
 * A report as text, the verdict first. Its strings must have passed `visibleData`. `silence` is the reason why no daemon
 * answered.
 */
export function statusText(report: StatusReport, style: Style = PLAIN, silence = ""): string {
  return atOnce(statusSteps(report, style, silence));
}

/** `statusText`, in steps between which other work gets its turn. */
export function* statusSteps(report: StatusReport, style: Style = PLAIN, silence = ""): Steps<string> {
  const { level, sentence, problems } = verdictOf(report);
  const colour = { good: style.good, new: style.bold, warning: style.warn, bad: style.bad }[level];
  const parts = [
    [
      colour(sentence),
      ...(problems.length > 1 ? problems.map(({ text }) => `  - ${text}`) : []),
      "",
      ...daemonLines(report, silence, style),
      ...recoveryKitLines(report, (at) => wallTime(at, style)),
    ].join("\n"),
    titled(style, "ALERTS", yield* alertTable(report, style)),
    titled(style, "RUNNING", runningText(report, style)),
    titled(style, "DATABASES", (yield* databaseTable(report, style)) ?? "no database has been found yet"),
    titled(
      style,
      "MISSING MARKS OF 3-2-1-1-0 (x lost, - not set up, . not demanded)",
      missingMarks(report, style),
    ),
    titled(style, "RESTORE TESTS", yield* restoreTestTable(report, style)),
    titled(style, "GLOBALS (ROLES, TABLESPACES)", yield* globalsTable(report, style)),
    titled(style, "STORAGES", yield* storageTable(report, style)),
    titled(style, "NOTIFIERS", yield* notifierTable(report, style)),
    titled(style, "JOBS", yield* jobTable(report, style)),
    titled(style, "SCHEDULES", yield* scheduleTable(report, style)),
  ];
  return parts.filter((part) => part !== undefined).join("\n\n");
}

function titled(style: Style, title: string, text: string | undefined): string | undefined {
  return text === undefined ? undefined : `${style.bold(title)}\n${text}`;
}

function daemonLines(
  { version, host, now, timezone, daemon }: StatusReport,
  silence: string,
  style: Style,
): string[] {
  const head = `pg321 ${version} on ${host}, ${wallTime(now, style)} ${style.timezone ?? "UTC"} (schedules in ${timezone})`;
  const reason = silence === "" ? "" : ` (${visible(silence)})`;
  if (!daemon)
    return [head, `from the catalog, without a daemon${reason}: next runs are calculated from the schedules`];
  const { pid, uptime_ms, config_file, config_checksum, last_reload, is_stopping } = daemon;
  const lines = [
    head,
    `daemon ${is_stopping ? "stopping" : "up"} for ${durationText(uptime_ms)}, pid ${pid}, ` +
      `config ${config_file} (${config_checksum.slice(0, 12)})`,
  ];
  if (!last_reload) return lines;
  if (last_reload.is_ok) return [...lines, `config reloaded at ${wallTime(last_reload.at, style)}`];
  return [
    ...lines,
    `config refused at ${wallTime(last_reload.at, style)}; the previous config stays in force:`,
    ...last_reload.errors.map((error) => `  ${error}`),
  ];
}

function databaseTable(report: StatusReport, style: Style): Steps<string | undefined> {
  return tableOf(
    BY_URGENCY.flatMap((state) => report.databases.filter((database) => database.state === state)),
    [
      { title: "DATABASE", isName: true, cell: ({ server, database }) => `${server}/${database}` },
      { title: "STATE", cell: ({ state }) => coloured(state, style) },
      { title: "3-2-1-1-0", cell: ({ marks }) => compactMarks(marks, style) },
      { title: "NEWEST GOOD", cell: ({ newest_good }) => wallTime(newest_good?.started_at, style) },
      { title: "AGE", cell: ({ newest_good }) => durationText(newest_good?.age_ms), align: "right" },
      { title: "TOOK", cell: ({ newest_good }) => durationText(newest_good?.duration_ms), align: "right" },
      { title: "DUMP", cell: ({ newest_good }) => sizeText(newest_good?.dump_bytes), align: "right" },
      { title: "STORED", cell: ({ newest_good }) => sizeText(newest_good?.object_bytes), align: "right" },
      {
        title: "COPIES",
        cell: ({ copies }) =>
          copies.map((one) => `${COUNT.format(one.copies)} in ${one.storage}`).join(", ") || "-",
      },
      { title: "NEXT BACKUP", cell: ({ next_backup_at }) => wallTime(next_backup_at, style) },
      { title: "NOTE", cell: (database) => databaseNote(database, style) },
    ],
    style,
  );
}

function globalsTable({ globals = [] }: StatusReport, style: Style): Steps<string | undefined> {
  return tableOf(
    globals,
    [
      { title: "SERVER", isName: true, cell: ({ server }) => server },
      { title: "STATE", cell: ({ state }) => coloured(state, style) },
      { title: "NEWEST GOOD", cell: ({ newest_good }) => wallTime(newest_good?.started_at, style) },
      { title: "COPIES IN", cell: ({ newest_good }) => newest_good?.storages.join(", ") || "-" },
      {
        title: "NOTE",
        cell: globalsNote,
      },
    ],
    style,
  );
}

function globalsNote({ state, last_attempt, has_lost_passwords }: GlobalsStatus): string {
  if (state === "failing") return last_attempt?.error ?? "failed";
  if (state === "never") return "with the next run";
  return has_lost_passwords ? LOST_PASSWORDS : "";
}

function databaseNote(database: DatabaseStatus, style: Style): string {
  const { state, newest_good, copies, gone_at } = database;
  const attempt = lastAttempt(database);
  if (state === "elsewhere") return "of another installation, which this host tests";
  if (state === "gone") return `gone since ${wallTime(gone_at, style)}`;
  const lacks = copies.filter(
    ({ storage, is_used }) => is_used && newest_good && !newest_good.storages.includes(storage),
  );
  if (attempt && (database.server_failure || database.last_attempt?.id !== newest_good?.id))
    return note(
      `${backupWord(attempt)} at ${wallTime(attempt.started_at, style)}`,
      isEndedByHand(attempt) ? null : attempt.error,
    );
  const missing =
    lacks.length === 0 ? [] : [`newest not in ${lacks.map(({ storage }) => storage).join(", ")}`];
  return [...missing, ...(newest_good?.left_out ? [newest_good.left_out] : [])].join("; ");
}

function storageTable({ storages }: StatusReport, style: Style): Steps<string | undefined> {
  return tableOf(
    storages,
    [
      { title: "STORAGE", isName: true, cell: ({ name }) => name },
      { title: "TYPE", cell: ({ type }) => type },
      { title: "STATE", cell: (storage) => coloured(storageState(storage), style) },
      { title: "COPIES", cell: ({ copies }) => String(copies), align: "right" },
      { title: "STORED", cell: ({ stored_bytes }) => sizeText(stored_bytes), align: "right" },
      { title: "READ BACK 30/90 D", cell: coverageText, align: "right" },
      { title: "FREE", cell: freeText, align: "right" },
      { title: "ERRORS", cell: ({ errors }) => String(errors), align: "right" },
      {
        title: "NOTE",
        cell: (storage) => storageNote(storage, style),
      },
    ],
    style,
  );
}

function storageNote(storage: StorageStatus, style: Style): string {
  const { error, last_error, last_error_at } = storage;
  if (error) return note("", error);
  if (storageState(storage) === "below min_free") return minFreeText(storage);
  if (storage.locked_remains_until !== null)
    return `remains of an interrupted backup are locked until ${wallTime(storage.locked_remains_until, style)}, and removed then`;
  if (last_error) return note(`last error at ${wallTime(last_error_at, style)}`, last_error);
  return storage.immutability.is_wanted ? storage.immutability.sentence : "";
}

/** `87 % / 100 %` of the copies were read back within 30 and 90 days. */
function coverageText({ coverage }: StorageStatus): string {
  return coverage
    .map(({ copies_ratio }) => (copies_ratio === null ? "-" : `${Math.floor(100 * copies_ratio)} %`))
    .join(" / ");
}

function freeText({ free_bytes, total_bytes }: StorageStatus): string {
  const share =
    free_bytes !== null && total_bytes ? ` (${Math.floor((100 * free_bytes) / total_bytes)} %)` : "";
  return sizeText(free_bytes) + share;
}

function notifierTable({ notifiers }: StatusReport, style: Style): Steps<string | undefined> {
  return tableOf(
    notifiers,
    [
      { title: "NOTIFIER", isName: true, cell: ({ name }) => name },
      { title: "TYPE", cell: ({ type }) => type },
      { title: "STATE", cell: (notifier) => coloured(notifierState(notifier), style) },
      { title: "LAST DELIVERED", cell: ({ last_delivered_at }) => wallTime(last_delivered_at, style) },
      { title: "WAITING", cell: ({ waiting }) => String(waiting), align: "right" },
      { title: "GIVEN UP", cell: ({ given_up }) => String(given_up), align: "right" },
      { title: "NOTE", cell: ({ error }) => note("", error) },
    ],
    style,
  );
}

function jobTable({ jobs }: StatusReport, style: Style): Steps<string | undefined> {
  return tableOf(
    jobs.filter(({ last_run, next_run_at }) => last_run || next_run_at),
    [
      { title: "JOB", cell: ({ job }) => job },
      ...runColumns<{ last_run: RunStatus | null }>(style),
      {
        title: "BY",
        cell: ({ last_run }) => (last_run ? (last_run.schedule === null ? "hand" : "schedule") : "-"),
      },
      { title: "LAST SUCCESS", cell: ({ last_success_at }) => wallTime(last_success_at, style) },
      { title: "NEXT RUN", cell: ({ next_run_at }) => wallTime(next_run_at, style) },
      {
        title: "NOTE",
        cell: ({ last_run }) =>
          last_run === null || isEndedByHand(last_run) ? "" : note("", last_run.error),
      },
    ],
    style,
  );
}

function scheduleTable({ schedules }: StatusReport, style: Style): Steps<string | undefined> {
  return tableOf(
    schedules,
    [
      { title: "SCHEDULE", isName: true, cell: ({ name }) => name },
      { title: "PATTERN", cell: ({ pattern }) => pattern },
      { title: "NEXT RUN", cell: ({ next_run_at }) => wallTime(next_run_at, style) },
      ...runColumns<{ last_run: RunStatus | null }>(style),
      {
        title: "NOTE",
        cell: ({ skipped }) =>
          skipped === 0 ? "" : style.warn(`${plural(skipped, "run")} skipped in a row`),
      },
    ],
    style,
  );
}

function runColumns<T extends { last_run: RunStatus | null }>(style: Style): Column<T>[] {
  return [
    { title: "LAST RUN", cell: ({ last_run }) => wallTime(last_run?.started_at, style) },
    { title: "OUTCOME", cell: ({ last_run }) => (last_run ? coloured(outcomeWord(last_run), style) : "-") },
    { title: "TOOK", cell: ({ last_run }) => durationText(last_run?.duration_ms), align: "right" },
  ];
}

function runningText({ running }: StatusReport, style: Style): string | undefined {
  if (running.length === 0) return;
  return running.map((run) => [runningLine(run, style), ...progressLines(run)].join("\n")).join("\n");
}

function runningLine({ job, schedule, state, host, pid, started_at }: RunningStatus, style: Style): string {
  const origin = schedule === job ? "scheduled" : `schedule ${schedule}`;
  return `${style.bold(job)} (${schedule === null ? "by hand" : origin}) ${state} since ${wallTime(started_at, style)}, pid ${pid} on ${host}`;
}

function progressLines({ progress }: RunningStatus): string[] {
  return progress.map(({ title, bytes, expected_bytes, storages }) => {
    const of = expected_bytes === null ? "" : ` of about ${sizeText(expected_bytes)}`;
    const each = storages.map((one) => `${one.storage} ${sizeText(one.bytes)} ${one.state}`);
    return `  ${[`${title}: ${sizeText(bytes)}${of}`, ...each].join(", ")}`;
  });
}

export function alertTable(
  { alerts }: Pick<StatusReport, "alerts">,
  style: Style,
): Steps<string | undefined> {
  return tableOf(
    alerts,
    [
      { title: "ID", cell: ({ id }) => id.slice(0, 8) },
      { title: "LEVEL", cell: ({ level }) => coloured(level, style) },
      { title: "SINCE", cell: ({ created_at }) => wallTime(created_at, style) },
      { title: "COUNT", cell: ({ count }) => String(count), align: "right" },
      { title: "ACKNOWLEDGED", cell: acknowledgedText },
      { title: "MESSAGE", cell: ({ message }) => oneLine(message) },
    ],
    style,
  );
}

function acknowledgedText({ acknowledged_at, has_cause }: AlertStatus): string {
  if (has_cause) return "with its cause";
  return acknowledged_at ? "yes" : "no";
}

function* tableOf<T>(
  rows: readonly T[],
  columns: readonly Column<T>[],
  style: Style,
): Steps<string | undefined> {
  return rows.length === 0 ? undefined : yield* tableSteps(rows, columns, style);
}

function coloured(word: string, style: Style): string {
  if (GOOD.has(word)) return style.good(word);
  return BAD.has(word) ? style.bad(word) : style.warn(word);
}

function note(what: string, error: string | null): string {
  const text = [what, error === null ? "" : oneLine(error)].filter((part) => part !== "").join(": ");
  return text.length <= NOTE_CHARACTERS_MAX ? text : `${text.slice(0, NOTE_CHARACTERS_MAX - 1)}…`;
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").trim();
}
