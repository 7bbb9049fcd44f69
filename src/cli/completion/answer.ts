import { deadline } from "../../base/abort.ts";
import type { Clock } from "../../base/clock.ts";
import { EXIT_CODES } from "../../base/errors.ts";
import { visible } from "../../base/text/visible.ts";
import type { Values } from "../command.ts";
import { COMMANDS } from "../registry.ts";
import { bashReplies, readBashLine } from "./bash-line.ts";
import { liveValues } from "./live-values.ts";
import type { Candidate, Wanted } from "./request.ts";
import { wantedAt } from "./request.ts";
import type { Shell } from "./scripts.ts";

/** A person waits at the keyboard: after this time only the fixed words are shown. */
const LOOK_MS_MAX = 500;

interface Surroundings {
  clock: Clock;
  signal: AbortSignal;
  env: Record<string, string | undefined>;
}

/**
 * Answers a completion script; `question` is its input. The first line of the answer says what else the shell may
 * offer (`words`: nothing, or `files` or `directories`), each further line is a candidate, in zsh and fish with its
 * description behind a tab. Never rejects: whatever is wrong, a line in the making must not be disturbed.
 */
async function completionAnswer(
  shell: string | undefined,
  question: string,
  surroundings: Surroundings,
): Promise<string> {
  try {
    const lines = shell === "bash" ? await forBash(question, surroundings) : [];
    return (isOther(shell) ? await forOther(shell, question, surroundings) : lines).join("\n");
  } catch {
    return "words";
  }
}

/** The hidden command `complete-words`, which the scripts call. */
export async function completeWords(
  [shell]: readonly string[],
  surroundings: Surroundings & { print: (text: string) => void },
): Promise<number> {
  const question = await Bun.stdin.text();
  surroundings.print(await completionAnswer(shell, question, surroundings));
  return EXIT_CODES.ok;
}

function isOther(shell: string | undefined): shell is Exclude<Shell, "bash"> {
  return shell === "zsh" || shell === "fish";
}

/** The question is `COMP_WORDBREAKS`, a NUL, and the line up to the cursor. */
async function forBash(question: string, surroundings: Surroundings): Promise<string[]> {
  const [breaks = "", text = ""] = question.split("\0");
  const line = readBashLine(text, breaks);
  if (line.isForShell) return ["files"];
  const wanted = await wantedAt(line.before, line.current, COMMANDS);
  const found = await candidatesFor(wanted, line.current, surroundings);
  const values = found
    .map(({ value }) => wanted.prefix + value)
    .filter((value) => value.startsWith(line.current));
  return [wanted.values.paths ?? "words", ...bashReplies(line, values)];
}

/** The question is the words before the cursor, each ended by a NUL. The shell itself chooses from the answer. */
async function forOther(
  shell: Exclude<Shell, "bash">,
  question: string,
  surroundings: Surroundings,
): Promise<string[]> {
  const words = question.split("\0").slice(0, -1);
  const current = words.pop() ?? "";
  const wanted = await wantedAt(words, current, COMMANDS);
  const found = await candidatesFor(wanted, current, surroundings);
  const prefix = shell === "fish" ? wanted.prefix : "";
  return [
    wanted.values.paths ?? "words",
    ...found.map(({ value, description }) => `${prefix}${value}\t${visible(description)}`),
  ];
}

/** Without values that cannot be typed: a control character in a name could end a line, or steer the terminal. */
async function candidatesFor(
  { words, values, prefix, config }: Wanted,
  current: string,
  { clock, signal, env }: Surroundings,
): Promise<Candidate[]> {
  using limit = deadline({ clock, signal, durationMs: LOOK_MS_MAX });
  const typed = current.slice(prefix.length);
  const live = isLive(values)
    ? await Promise.race([
        liveValues(values.live, { typed, config, env }).catch(() => []),
        new Promise<Candidate[]>((resolve) => {
          limit.signal.addEventListener("abort", () => resolve([]));
        }),
      ])
    : [];
  const fixed = (values.words ?? []).map((value) => ({ value, description: "" }));
  // A value that begins with a dash is one only behind an equals sign.
  return [
    ...words,
    ...[...fixed, ...live].filter(({ value }) => prefix !== "" || !value.startsWith("-")),
  ].filter(({ value }) => visible(value) === value);
}

function isLive(values: Values): values is Values & Required<Pick<Values, "live">> {
  return values.live !== undefined;
}
