import type { Style } from "../base/text/table.ts";
import { width } from "../base/text/table.ts";
import { wallTime } from "../base/text/zoned-time.ts";
import { markName, STATE_WORDS } from "../rule/words.ts";
import type { DatabaseStatus, MarkStatus, StatusReport } from "./report.ts";

/** Lines of text are this long if the output is no terminal. */
const COLUMNS = 80;
/** At most this many databases are named for one reason, and this many reasons shown. */
const NAMED_MAX = 4;
const REASONS_MAX = 12;

/** The five marks: the digit of each held one, `x` for a lost one, `-` not set up, `.` not demanded. */
export function compactMarks(marks: readonly MarkStatus[] | undefined, style: Style): string {
  // An older daemon knows no marks.
  if (marks === undefined || marks.length === 0) return "-";
  const letter = ({ state, demanded }: MarkStatus) => {
    switch (state) {
      case "held":
        return style.good(String(demanded));
      case "lost":
        return style.bad("x");
      case "not_set_up":
        return style.warn("-");
      case "not_demanded":
        return style.dim(".");
    }
  };
  return marks.map(letter).join(" ");
}

/** Databases that miss marks for the same reason. */
export interface MissingMark {
  mark: MarkStatus;
  /** `3 copies, 1 off-site` */
  names: string;
  /** The earliest of their times. */
  since: string;
  databases: DatabaseStatus[];
}

/** Every missing mark, lost ones first, with the databases that miss it for the same reason. */
export function missingByReason(databases: readonly DatabaseStatus[]): MissingMark[] {
  const missing = databases.flatMap((database) =>
    (database.marks ?? []).flatMap((mark) =>
      mark.state === "lost" || mark.state === "not_set_up" ? { mark, database } : [],
    ),
  );
  const groups = Map.groupBy(missing, ({ mark: { state, sentence, next_step } }) =>
    JSON.stringify([state, sentence, next_step]),
  );
  return [...groups.values()]
    .flatMap((same): MissingMark[] => {
      const [first] = same;
      if (first === undefined) return [];
      const [since = ""] = same.map(({ mark }) => mark.since).sort();
      const names = [...new Set(same.map(({ mark }) => markName(mark)))].join(", ");
      const missed = new Set(same.map(({ database }) => database));
      return [{ mark: first.mark, names, since, databases: [...missed] }];
    })
    .toSorted((a, b) => Number(b.mark.state === "lost") - Number(a.mark.state === "lost"));
}

/** A paragraph for each next step, with all its reasons, in lines that fit; undefined if no mark is missing. */
export function missingMarks({ databases }: StatusReport, style: Style): string | undefined {
  const reasons = missingByReason(databases);
  if (reasons.length === 0) return undefined;
  const columns = Math.max(40, style.columns ?? COLUMNS);
  const shown = reasons.slice(0, REASONS_MAX);
  const steps = Map.groupBy(shown, ({ mark: { state, next_step } }) => JSON.stringify([state, next_step]));
  const paragraphs = [...steps.values()].flatMap((same) => [
    ...same.map((reason) => reasonText(reason, style, columns)),
    stepText(same[0]?.mark.next_step ?? "", columns),
  ]);
  const rest = reasons.length - shown.length;
  return [...paragraphs, ...(rest > 0 ? [`and ${rest} more: pg321 status --json`] : [])].join("\n");
}

function reasonText({ mark, names, since, databases }: MissingMark, style: Style, columns: number): string {
  const word = STATE_WORDS[mark.state];
  const head = `${names} ${mark.state === "lost" ? style.bad(word) : style.warn(word)}`;
  const zone = (style.timezone ?? "UTC") === "UTC" ? " UTC" : "";
  const from = mark.state === "lost" ? ` since ${wallTime(since, style).slice(0, 16)}${zone}` : "";
  const lines = wrapped(`${head}${from}: ${namesOf(databases)}`, columns, "");
  return [...lines, ...wrapped(mark.sentence, columns, "  ")].join("\n");
}

function stepText(nextStep: string, columns: number): string {
  // A command stays in one piece, so that it can be copied.
  const [, what = nextStep, command] = /^(.*?)(pg321 [^;]*)$/.exec(nextStep) ?? [];
  const step = wrapped(`next: ${what.trimEnd()}`, columns, "  ");
  if (command !== undefined) {
    const last = step.at(-1) ?? "";
    if (width(last) + 1 + width(command) <= columns) step[step.length - 1] = `${last} ${command}`;
    else step.push(`    ${command}`);
  }
  return step.join("\n");
}

export function namesOf(databases: readonly Pick<DatabaseStatus, "server" | "database">[]): string {
  const names = databases.slice(0, NAMED_MAX).map(({ server, database }) => `${server}/${database}`);
  const rest = databases.length - names.length;
  return rest > 0 ? `${names.join(", ")} and ${rest} more` : names.join(", ");
}

/** The text in lines of at most so many columns, each indented; only a longer word is longer. */
function wrapped(text: string, columns: number, indent: string): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines.at(-1);
    if (last !== undefined && width(last) + 1 + width(word) <= columns)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(`${lines.length === 0 ? indent : `${indent}  `}${word}`);
  }
  return lines;
}
