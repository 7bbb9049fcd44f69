import { parseArgs } from "node:util";
import { Pg321Error } from "../base/errors.ts";
import { closest } from "../base/text/suggest.ts";
import type { Arguments, Command } from "./command.ts";
import { COMMON_OPTIONS } from "./command.ts";

/** Parses the arguments after a command's name. Throws code `usage`, with a suggestion for a misspelt option. */
export function parseArguments(name: string, command: Command, words: readonly string[]): Arguments {
  const options = { ...command.options, ...COMMON_OPTIONS };
  const usage = (problem: string, suggestion?: string) => usageError(name, command, problem, suggestion);
  const { tokens, values, positionals } = parseArgs({
    args: [...words],
    options: Object.fromEntries(
      Object.entries(options).map(([name, { help: _h, value: _v, ...rest }]) => [name, rest]),
    ),
    allowPositionals: true,
    strict: false,
    tokens: true,
  });
  for (const token of tokens) {
    if (token.kind !== "option") continue;
    const option = options[token.name];
    if (!option) {
      const suggestion = closest(token.rawName.replace(/^-+/, ""), Object.keys(options));
      throw usage(`unknown option ${token.rawName}`, suggestion && `did you mean --${suggestion}?`);
    }
    if (option.type === "string" && (token.value === undefined || isOptionLike(token)))
      throw usage(`${token.rawName} needs a value (${option.value})`);
    if (option.type === "string" && token.value === "") throw usage(`the value of ${token.rawName} is empty`);
    if (option.type === "boolean" && token.value !== undefined)
      throw usage(`${token.rawName} takes no value`);
  }
  const { min, max } = command.positionals;
  if (values["help"] !== true && positionals.length < min) throw usage("an argument is missing");
  if (values["help"] !== true && positionals.length > max)
    throw usage(`unexpected argument "${positionals[max]}"`);
  if (positionals.includes("")) throw usage("an argument is empty");
  refuseConflicts(name, command, values);
  return { positionals, options: values };
}

function refuseConflicts(name: string, { conflicts = [] }: Command, values: Arguments["options"]): void {
  const isGiven = (option: string) => values[option] !== undefined;
  const found = conflicts.find(({ options }) => options.every(isGiven));
  if (!found) return;
  const [one, other] = found.options;
  throw new Pg321Error("usage", `${name}: --${one} cannot be used with --${other}: ${found.why}`, {
    hint: `leave out --${one} or --${other}`,
  });
}

/** Whether a value looks like an option: `--database --json`. As a value it must be written `--database=--json`. */
function isOptionLike({ value = "", inlineValue }: { value?: string; inlineValue?: boolean }): boolean {
  return inlineValue === false && value.length > 1 && value.startsWith("-");
}

function usageError(name: string, command: Command, problem: string, suggestion?: string): Pg321Error {
  return new Pg321Error("usage", `${name}: ${problem}`, {
    hint: suggestion || `usage: pg321 ${name} ${command.usage}`.trim(),
  });
}

/** The words of a command line: common options before the command, the command, and everything after it. */
export interface SplitWords {
  common: string[];
  word: string | undefined;
  rest: string[];
}

/** `--config FILE backup` means `backup --config FILE`. Throws code `usage` for a common option without its value. */
export function splitWords(words: readonly string[]): SplitWords {
  const common: string[] = [];
  let next = 0;
  for (; next < words.length; next++) {
    const found = commonOption(words[next] ?? "");
    if (found === undefined) break;
    const { name, value, isValueInline } = found;
    if (value === undefined || isValueInline) {
      common.push(name === "help" ? "--help" : (words[next] ?? ""));
      continue;
    }
    const given = words[++next];
    if (given === undefined || given.startsWith("-"))
      throw new Pg321Error("usage", `--${name} needs a value (${value})`);
    common.push(`--${name}=${given}`);
  }
  return { common, word: words[next], rest: words.slice(next + 1) };
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

export function unknownCommand(word: string, known: readonly string[]): Pg321Error {
  if (word.startsWith("-")) {
    return new Pg321Error("usage", `expected a command, found "${word}"`, {
      hint: "options come after the command: pg321 COMMAND [OPTION…]; only those of every command, such as --config, may also come before it",
    });
  }
  const suggestion = closest(word, known);
  return new Pg321Error("usage", `unknown command "${word}"`, {
    hint: suggestion ? `did you mean pg321 ${suggestion}?` : "pg321 --help lists the commands",
  });
}

/** The value of an option as a number. Throws code `usage`. */
export function integerOption(
  command: string,
  name: string,
  text: string | undefined,
  range: { min: number; max: number },
): number | undefined {
  if (text === undefined) return undefined;
  const number = /^-?\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isInteger(number) && number >= range.min && number <= range.max) return number;
  throw new Pg321Error(
    "usage",
    `${command}: --${name} is "${text}", expected a whole number from ${range.min} to ${range.max}`,
  );
}

/** One of a few words; `name` is its name in messages (`--status`). Throws code `usage`. */
export function choiceOption<T extends string>(
  command: string,
  name: string,
  text: string | undefined,
  choices: readonly T[],
): T | undefined {
  if (text === undefined) return undefined;
  const choice = choices.find((one) => one === text);
  if (choice !== undefined) return choice;
  const suggestion = closest(text, choices);
  throw new Pg321Error("usage", `${command}: ${name} is "${text}", expected one of ${choices.join(", ")}`, {
    ...(suggestion !== undefined && { hint: `did you mean ${suggestion}?` }),
  });
}
