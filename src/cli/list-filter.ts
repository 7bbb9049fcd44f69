import { Pg321Error } from "../base/errors.ts";
import { backupStatusOf, backupWord, copyStateOf, copyWord } from "../base/text/states.ts";
import { timeText } from "../base/text/zoned-time.ts";
import type { BackupFilter } from "../catalog/catalog.ts";
import type { BackupStatus, CopyState } from "../catalog/records.ts";
import type { Arguments, Option } from "./command.ts";
import { textOption } from "./command.ts";
import { choiceOption, integerOption } from "./parse.ts";
import { TIME_HELP, timeOption } from "./time-option.ts";

const STATUSES: readonly BackupStatus[] = ["RUNNING", "VERIFIED", "PARTIAL", "FAILED", "INTERRUPTED"];
/** A storage without a state: copies in these states are, or should be, in it. */
const PRESENT: readonly CopyState[] = ["INTENDED", "CONFIRMED", "DAMAGED", "MISSING", "DELETING", "HIDDEN"];
const STATES: readonly CopyState[] = [...PRESENT, "FAILED", "DELETED"];
export const LIMIT_DEFAULT = 50;
const COUNT_MAX = 1_000_000;

/** The options of `list` that choose backups, without those that name a database. */
export const LIST_OPTIONS: Record<string, Option> = {
  since: { type: "string", value: "TIME", help: `only backups that began then or later: ${TIME_HELP}` },
  until: {
    type: "string",
    value: "TIME",
    help: "only backups that began then or before; a day counts to its end",
  },
  status: {
    type: "string",
    value: "STATUS",
    help: "RUNNING, VERIFIED (shown as complete), PARTIAL, FAILED or INTERRUPTED",
    values: { words: STATUSES },
  },
  storage: {
    type: "string",
    value: "NAME",
    help: "only backups with a copy in this storage that is neither failed nor deleted",
    values: { live: ["storage"] },
  },
  state: {
    type: "string",
    value: "STATE",
    help: "only backups with a copy in this state, in --storage if it is given: stored, missing, damaged, failed …",
    values: { words: STATES.map(stateWord) },
  },
  host: {
    type: "string",
    value: "NAME",
    help: "only backups that this host of the fleet made",
    values: { live: ["host"] },
  },
  limit: { type: "string", short: "n", value: "N", help: "at most N backups (default 50)" },
  offset: { type: "string", value: "N", help: "skip the first N of them: the next page" },
};

/** What the options say: `status` apart, because a backup that is RUNNING may turn out to be INTERRUPTED. */
export interface ListFilter {
  filter: BackupFilter & { limit: number; offset: number };
  status: BackupStatus | undefined;
}

/** Reads the options. Throws code `usage`. */
export function listFilter(args: Arguments, now: Date, timezone: string): ListFilter {
  const whole = (name: string, min: number) =>
    integerOption("list", name, textOption(args, name), { min, max: COUNT_MAX });
  const time = (name: string, edge: "first" | "last") =>
    timeOption(textOption(args, name), { command: "list", name, now, timezone, edge });
  const limit = whole("limit", 1) ?? LIMIT_DEFAULT;
  const offset = whole("offset", 0) ?? 0;
  const status = chosen(textOption(args, "status"), STATUSES, {
    name: "--status",
    ofWord: backupStatusOf,
    wordOf: (one) => backupWord({ status: one, error: null }),
  });
  const [since, until] = [time("since", "first"), time("until", "last")];
  if (since && until && since > until) {
    const times = `--since (${timeText(since)}) is later than --until (${timeText(until)})`;
    throw new Pg321Error("usage", `list: ${times}`, { hint: "exchange them, or leave one out" });
  }
  const copy = copyFilter(args);
  const host = textOption(args, "host");
  // INTERRUPTED reads both: see ListFilter.
  const asked = status === "INTERRUPTED" ? (["INTERRUPTED", "RUNNING"] as const) : status && [status];
  return {
    filter: {
      ...{ limit, offset },
      ...(asked && { status: asked }),
      ...(since && { startedFrom: since.toISOString() }),
      ...(until && { startedBy: until.toISOString() }),
      ...(copy && { copy }),
      ...(host !== undefined && { host }),
    },
    status,
  };
}

/** `being-deleted`: the word of a table as one word of a command line. */
function stateWord(state: CopyState): string {
  return copyWord(state).replaceAll(" ", "-");
}

/** The state that is written as in tables or as in JSON. Throws code `usage` with the words of tables. */
function chosen<T extends string>(
  written: string | undefined,
  states: readonly T[],
  { name, ofWord, wordOf }: { name: string; ofWord: (word: string) => string; wordOf: (state: T) => string },
): T | undefined {
  if (written === undefined) return undefined;
  const found = states.find((state) => state === ofWord(written));
  if (found === undefined) choiceOption("list", name, written, states.map(wordOf));
  return found;
}

function copyFilter(args: Arguments): BackupFilter["copy"] {
  const storage = textOption(args, "storage");
  const written = textOption(args, "state");
  if (storage === undefined && written === undefined) return undefined;
  const state = chosen(written, STATES, {
    name: "--state",
    ofWord: copyStateOf,
    wordOf: stateWord,
  });
  return { states: state === undefined ? PRESENT : [state], ...(storage !== undefined && { storage }) };
}
