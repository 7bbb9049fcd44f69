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
      Object.entries(options).map(([name, { help: _h, value: _v, values: _w, ...rest }]) => [name, rest]),
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
    if (option.type === "string" && token.value === "") {
      const hint = `write ${token.rawName} ${option.value}, or leave the option out`;
      throw usage(`the value of ${token.rawName} is empty`, hint);
    }
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
