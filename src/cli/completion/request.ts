import type { Command, Option, Values } from "../command.ts";
import { COMMON_OPTIONS } from "../command.ts";
import type { CommandEntry } from "../registry.ts";

/** A word that may stand where the cursor is, and what it means. */
export interface Candidate {
  value: string;
  description: string;
}

/** What may stand where the cursor is. */
export interface Wanted {
  /** Fixed words. */
  words: Candidate[];
  /** Values that are looked up. */
  values: Values;
  /** The option in front of the value, as in `--database=`; otherwise empty. */
  prefix: string;
  /** `--config` of the command line. */
  config: string | undefined;
}

const NOTHING: Values = {};
const VERSION: Option = { type: "boolean", help: "print the version" };

/** Finds what may follow the words after `pg321`; `current` is the unfinished word at the cursor. */
export async function wantedAt(
  before: readonly string[],
  current: string,
  commands: readonly CommandEntry[],
): Promise<Wanted> {
  const at = before.findIndex(
    (word, index) =>
      (word === "help" || commands.some((one) => one.name === word)) &&
      readWords(before.slice(0, index), COMMON_OPTIONS).waiting === undefined,
  );
  const name = before[at];
  const entry = commands.find((one) => one.name === name);
  const command = (await entry?.load())?.command;
  const options = { ...command?.options, ...COMMON_OPTIONS };
  const read = readWords(
    before.filter((_, index) => index !== at),
    options,
  );
  const config = read.texts.get("config");
  const found = { words: [], values: NOTHING, prefix: "", config };
  if (read.waiting !== undefined) return { ...found, values: valuesOf(read.waiting) };
  const inline = read.isEnded ? null : /^--([^=]+)=/.exec(current);
  if (inline) {
    const option = options[inline[1] ?? ""];
    return { ...found, prefix: inline[0], values: option === undefined ? NOTHING : valuesOf(option) };
  }
  if (current.startsWith("-") && !read.isEnded) {
    const all = command === undefined ? { ...options, version: VERSION } : options;
    return { ...found, words: optionWords(all, command, read.given) };
  }
  const names = commands.map(({ name: value, summary: description }) => ({ value, description }));
  const help = { value: "help", description: "explain a command" };
  if (name === undefined)
    return read.positionals > 0 ? found : { ...found, words: read.given.size > 0 ? names : [...names, help] };
  if (command === undefined) {
    const pages = [
      { value: "recovery", description: "the commands to run after each accident" },
      { value: "schema", description: "the JSON Schema of the config" },
    ];
    return read.positionals > 0 ? found : { ...found, words: [...names, ...pages] };
  }
  const { max, values = [] } = command.positionals;
  const isFull = read.positionals >= max;
  return isFull ? found : { ...found, values: values[read.positionals] ?? values.at(-1) ?? NOTHING };
}

interface ReadWords {
  /** Names of the options that were given. */
  given: Set<string>;
  /** Their values. */
  texts: Map<string, string>;
  positionals: number;
  /** The option whose value comes next. */
  waiting: Option | undefined;
  /** Whether `--` has ended the options. */
  isEnded: boolean;
}

/** Reads words that may be incomplete or wrong, as `parseArguments` would. */
function readWords(words: readonly string[], options: Readonly<Record<string, Option>>): ReadWords {
  const read: ReadWords = {
    given: new Set(),
    texts: new Map(),
    positionals: 0,
    waiting: undefined,
    isEnded: false,
  };
  let waitingName = "";
  for (const word of words) {
    if (read.waiting !== undefined) {
      read.texts.set(waitingName, word);
      read.waiting = undefined;
    } else if (word === "--") read.isEnded = true;
    else if (read.isEnded || !/^-./.test(word)) read.positionals++;
    else {
      const found = optionIn(word, options);
      if (found === undefined) continue;
      read.given.add(found.name);
      if (found.text !== undefined) read.texts.set(found.name, found.text);
      else if (found.option.type === "string") [waitingName, read.waiting] = [found.name, found.option];
    }
  }
  return read;
}

function optionIn(word: string, options: Readonly<Record<string, Option>>) {
  const [, long, text] = /^--([^=]+)(?:=(.*))?$/s.exec(word) ?? [];
  if (long !== undefined) {
    const option = Object.hasOwn(options, long) ? options[long] : undefined;
    return option && { name: long, option, text };
  }
  const found = Object.entries(options).find(([, { short }]) => short === word[1]);
  return found && { name: found[0], option: found[1], text: word.length > 2 ? word.slice(2) : undefined };
}

/** Without options that were given, or that are pointless beside those. */
function optionWords(
  options: Readonly<Record<string, Option>>,
  command: Command | undefined,
  given: ReadonlySet<string>,
): Candidate[] {
  const conflicting = (command?.conflicts ?? []).flatMap(({ options: [one, other] }) => [
    ...(given.has(one) ? [other] : []),
    ...(given.has(other) ? [one] : []),
  ]);
  return Object.entries(options)
    .filter(([name, { multiple }]) => (multiple || !given.has(name)) && !conflicting.includes(name))
    .map(([name, { help }]) => ({ value: `--${name}`, description: help.split("\n")[0] ?? "" }));
}

/** The values of an option; one that takes a FILE or a DIR takes paths. */
export function valuesOf({ value = "", values }: Option): Values {
  if (values !== undefined) return values;
  if (/^FILE\b/.test(value)) return { paths: "files" };
  return /^DIR\b/.test(value) ? { paths: "directories" } : NOTHING;
}
