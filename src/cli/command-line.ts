import { Pg321Error } from "../base/errors.ts";
import { closest } from "../base/text/suggest.ts";
import type { Command } from "./command.ts";
import { COMMON_OPTIONS } from "./command.ts";
import { parseArguments } from "./parse.ts";
import type { CommandEntry } from "./registry.ts";

/** A command line: options before the command, the word that names the command, and everything after it. */
export interface CommandLine {
  before: string[];
  word: string | undefined;
  rest: string[];
}

/**
 * Finds the command in a command line. `--config FILE backup` and `--json status` mean `backup --config FILE` and
 * `status --json`. Throws code `usage` if options stand before the command and nothing shows which command they
 * belong to.
 */
export async function splitCommandLine(
  words: readonly string[],
  commands: readonly CommandEntry[],
): Promise<CommandLine> {
  const { before, next } = commonOptions(words);
  const word = words[next];
  const found = { before, word, rest: words.slice(next + 1) };
  const isOption = word !== undefined && /^-./.test(word) && word !== "--version" && word !== "-V";
  if (!isOption) return found;
  const candidates = words.slice(next).flatMap((name, index) => {
    const entry = commands.find((one) => one.name === name);
    return entry === undefined ? [] : [{ entry, at: next + index }];
  });
  const judged = await Promise.all(
    candidates.map(async ({ entry, at }) => {
      const { command } = await entry.load();
      const options = words.slice(next, at);
      return { entry, at, options, mistake: mistakeIn(entry.name, command, options) };
    }),
  );
  const fitting = judged.filter(({ mistake }) => mistake === undefined);
  const [first] = fitting;
  if (first !== undefined && fitting.length === 1)
    return {
      before: [...before, ...first.options],
      word: first.entry.name,
      rest: words.slice(first.at + 1),
    };
  if (first !== undefined) throw ambiguous(fitting.map(({ entry }) => entry.name));
  throw judged[0]?.mistake ?? withoutCommand(word);
}

/** The common options at the beginning, with the values joined to them, and the index of the word after them. */
function commonOptions(words: readonly string[]): { before: string[]; next: number } {
  const before: string[] = [];
  let next = 0;
  for (; next < words.length; next++) {
    const word = words[next] ?? "";
    const found = commonOption(word);
    if (found === undefined) break;
    const { name, value, isValueInline } = found;
    if (value === undefined || isValueInline) {
      before.push(name === "help" ? "--help" : word);
      continue;
    }
    const given = words[++next];
    if (given === undefined || given.startsWith("-"))
      throw new Pg321Error("usage", `--${name} needs a value (${value})`);
    before.push(`--${name}=${given}`);
  }
  return { before, next };
}

/** The common option that a word is: `--config`, `--config=FILE`, `-c` or `-cFILE`. */
function commonOption(word: string) {
  for (const [name, { short, value }] of Object.entries(COMMON_OPTIONS)) {
    if (word === `--${name}` || word === `-${short}`) return { name, value, isValueInline: false };
    const isInline = word.startsWith(`--${name}=`) || (short !== undefined && word.startsWith(`-${short}`));
    if (value !== undefined && isInline) return { name, value, isValueInline: true };
  }
  return undefined;
}

/** Why these words are not options of a command, each with its value; undefined if they are. */
function mistakeIn(name: string, command: Command, options: readonly string[]): Pg321Error | undefined {
  try {
    parseArguments(name, { ...command, positionals: { min: 0, max: 0 } }, options);
    return undefined;
  } catch (error) {
    if (error instanceof Pg321Error) return error;
    throw error;
  }
}

function ambiguous(names: readonly string[]): Pg321Error {
  return new Pg321Error("usage", `the command may be ${names.join(" or ")}`, {
    hint: "put the command first: pg321 COMMAND [OPTION…]",
  });
}

function withoutCommand(word: string): Pg321Error {
  const [option = word] = word.split("=");
  const suggestion = option.startsWith("--")
    ? closest(option.slice(2), [...Object.keys(COMMON_OPTIONS), "version"])
    : undefined;
  return new Pg321Error("usage", `no command was given, only the option ${option}`, {
    hint:
      suggestion === undefined || suggestion === option.slice(2)
        ? "pg321 COMMAND [OPTION…]: pg321 --help lists the commands"
        : `did you mean --${suggestion}?`,
  });
}

/** The error for a word that is not a command. */
export function unknownCommand(word: string, known: readonly string[]): Pg321Error {
  const suggestion = closest(word, known);
  return new Pg321Error("usage", `unknown command "${word}"`, {
    hint: suggestion ? `did you mean pg321 ${suggestion}?` : "pg321 --help lists the commands",
  });
}
