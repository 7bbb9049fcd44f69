import { Pg321Error } from "../../src/base/errors.ts";
import { splitCommandLine } from "../../src/cli/command-line.ts";
import { parseArguments } from "../../src/cli/parse.ts";
import { COMMANDS } from "../../src/cli/registry.ts";

/** Command lines in documents. A line goes on after a backslash, a pipe or `&&`; comments are left out. */

/** The code blocks below a heading. */
export function blocksBelow(
  document: string,
  heading: string,
  languages: readonly string[] = ["", "sh"],
): string[] {
  return codeBlocks(sectionOf(document, heading), languages);
}

/** The commands in code spans below a heading. */
export function commandSpans(document: string, heading: string): string[] {
  const spans = [...sectionOf(document, heading).matchAll(/`([^`\n]+)`/g)].map(([, span = ""]) => span);
  return spans.filter((span) => /^(sudo|pg321|systemctl|journalctl) [a-z-]/.test(span));
}

/** A section under a heading (of any level), up to the next heading of the same or a higher level. */
function sectionOf(document: string, heading: string): string {
  const at = new RegExp(`^(#+) ${heading.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`, "m").exec(document);
  if (!at) throw new Error(`no heading "${heading}"`);
  const rest = document.slice(at.index + at[0].length);
  const end = new RegExp(`^#{1,${at[1]?.length}} `, "m").exec(rest)?.index ?? rest.length;
  return rest.slice(0, end);
}

export function codeBlocks(document: string, languages: readonly string[] = ["", "sh"]): string[] {
  return [...document.matchAll(/^```(\w*)\n(.*?)^```$/gms)]
    .filter(([, language = ""]) => languages.includes(language))
    .map(([, , text]) => text ?? "");
}

/** The commands of a block, each as one line of shell. */
export function commandsOf(block: string): string[] {
  const lines = block
    .replace(/\\\n\s*/g, "")
    .replace(/(\||&&)\n\s*/g, "$1 ")
    .split("\n");
  return lines
    .map((line) => line.replace(/\s+# .*$/, "").trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
}

/** A call of pg321 as a document writes it. */
export interface DocumentedCall {
  /** The text that it was taken from. */
  text: string;
  /** The words after `pg321`. */
  words: string[];
  /** In prose only: the call may go on, or end before its last words. */
  isProse?: boolean;
  /** In a sentence that means an option itself, `restore --table`, its value is left out. */
  isSpan?: boolean;
}

const CALL = /(?:^|[\s'"(`=])(?:\.\/|dist\/|\/usr\/local\/bin\/)?pg321 (?=[a-z-])/g;

/** The calls in a line of shell, also those in its quoted parts. */
export function callsIn(line: string): DocumentedCall[] {
  return [...line.matchAll(CALL)].map((match) => {
    const opener = /^['"]/.exec(match[0])?.[0];
    const text = line.slice((match.index ?? 0) + match[0].length);
    return { text: line, words: shellWords(text, opener) };
  });
}

/** The words up to the end of the command, quotes resolved; `outer` is the quote that the command itself stands in. */
function shellWords(text: string, outer: string | undefined): string[] {
  const words: string[] = [];
  let rest = text;
  for (;;) {
    rest = rest.trimStart();
    const found = /^(?:'[^']*'|"[^"]*"|\\.|\$\([^)]*\)|[^\s'"\\|<>;&()`#])+/.exec(
      outer === undefined ? rest : rest.replaceAll(outer, "`"),
    );
    if (!found) return words;
    words.push(found[0].replace(/'([^']*)'|"([^"]*)"|\\(.)/g, (_, a, b, c) => a ?? b ?? c));
    rest = rest.slice(found[0].length);
  }
}

/** A usage line without its brackets, and with the first of each alternative. */
export function usageAsCall(line: string): string {
  let text = line;
  while (/\[[^[\]]*\]/.test(text)) text = text.replace(/\[[^[\]]*\]/g, "");
  return text.replace(/(\S+?)\|(?:\S+\|)*(?:-\w [A-Z]+|\S+)/g, "$1").replaceAll("…", "");
}

/** Why the program would not accept a call; undefined if it would. */
export async function refusalOf({ words, isProse, isSpan }: DocumentedCall): Promise<string | undefined> {
  try {
    const meant = isProse ? words.map((word) => word.replace(/[,;:.)?]+$/, "")) : words;
    const { before, word, rest } = await splitCommandLine(meant, COMMANDS);
    if (word === undefined || word === "help" || word === "--version") return undefined;
    const entry = COMMANDS.find(({ name }) => name === word);
    if (!entry) return isProse ? undefined : `unknown command "${word}"`;
    const { command } = await entry.load();
    const first = rest.findIndex((one) => one.startsWith("-"));
    // Which words of a sentence still belong to the command cannot be known; an option does.
    if (!isProse) parseArguments(word, command, [...before, ...rest]);
    else if (first >= 0)
      parseArguments(word, { ...command, positionals: { min: 0, max: 99 } }, rest.slice(first));
    return undefined;
  } catch (error) {
    if (!(error instanceof Pg321Error)) throw error;
    return isSpan && error.message.includes(`${words.at(-1)} needs a value`) ? undefined : error.message;
  }
}
