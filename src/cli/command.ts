import type { ParseArgsConfig } from "node:util";
import type { Clock } from "../base/clock.ts";
import type { Log, LogLevel } from "../base/log.ts";
import type { Output, Style } from "./output/output.ts";

type ParsedOptions = NonNullable<ParseArgsConfig["options"]>;

/** Values that completion looks up in config and catalog; `target` is SERVER/DATABASE. */
export type LiveKind =
  | "database"
  | "target"
  | "server"
  | "storage"
  | "host"
  | "notifier"
  | "backup"
  | "good-backup"
  | "held-backup"
  | "alert";

/** The values that an argument or option can have, for completion; none for free text. */
export interface Values {
  words?: readonly string[];
  live?: readonly LiveKind[];
  paths?: "files" | "directories";
}

/** One option of a command: the form of `util.parseArgs` plus the text for help. */
export type Option = ParsedOptions[string] & {
  /** The name of the value in help: `FILE`, which completion takes for a path. A switch has none. */
  value?: string;
  help: string;
  values?: Values;
};

/** A parsed command line. */
export interface Arguments {
  positionals: string[];
  /** Values by option name, as `util.parseArgs` returns them. */
  options: Record<string, string | boolean | (string | boolean)[] | undefined>;
}

export interface Terminal {
  /** Replaces the lines that are redrawn in place. */
  draw: (lines: readonly string[]) => void;
  columns: () => number;
  style: Style;
  /** Whether stdin is a terminal as well, so that a person can be asked. */
  isInteractive: boolean;
}

/** The input of a command. */
export interface Invocation {
  arguments: Arguments;
  output: Output;
  log: Log;
  clock: Clock;
  /** Aborted by SIGINT or SIGTERM. */
  signal: AbortSignal;
  env: Record<string, string | undefined>;
  /** Where progress is drawn; undefined if stderr is not a terminal, or a dumb one. */
  terminal: Terminal | undefined;
  /** How progress is shown: `auto` draws it on the terminal, or logs it. */
  progress: ProgressWay;
  /** Writes text to stderr, above what is redrawn there. */
  writeError: (text: string) => void;
  stdin: () => AsyncIterable<Uint8Array>;
}

/** A command's arguments, help and action; each has its own file in `commands`. Names and summaries are in `registry.ts`. */
export interface Command {
  /** The arguments after the name: `[DATABASE…]`. */
  usage: string;
  /** What a user must know beyond the summary. */
  description?: string;
  options: Record<string, Option>;
  examples: { command: string; explanation: string }[];
  /** The minimum and maximum number of positional arguments, and the values of each; the last ones are for all others. */
  positionals: { min: number; max: number; values?: readonly Values[] };
  /** Pairs of options of which one makes the other pointless, and why (completes `--a cannot be used with --b: `). */
  conflicts?: readonly { options: readonly [string, string]; why: string }[];
  /** Resolves with the exit code. Rejects if something goes wrong. */
  run(invocation: Invocation): Promise<number>;
}

export const LOG_LEVELS: readonly LogLevel[] = ["debug", "info", "warning", "error"];

/** Options that every command takes. */
export const COMMON_OPTIONS: Record<string, Option> = {
  config: {
    type: "string",
    short: "c",
    value: "FILE",
    help: "the config file (default: PG321_CONFIG, then /etc/pg321/config.toml)",
  },
  "log-level": {
    type: "string",
    value: "LEVEL",
    help: "debug, info, warning or error",
    values: { words: LOG_LEVELS },
  },
  "log-format": {
    type: "string",
    value: "FORMAT",
    help: "text or json (default: text; under systemd, entries of the journal with fields)",
    values: { words: ["text", "json"] },
  },
  help: { type: "boolean", short: "h", help: "show this help" },
};

export const JSON_OPTION: Option = { type: "boolean", help: "print JSON" };

export const PROGRESS_WAYS = ["auto", "none", "json"] as const;
export type ProgressWay = (typeof PROGRESS_WAYS)[number];

/** Of every command that may take long. */
export const PROGRESS_OPTIONS: Record<string, Option> = {
  quiet: { type: "boolean", short: "q", help: "print errors only (and what --json prints)" },
  progress: {
    type: "string",
    value: "HOW",
    help: "auto (default), none, or json: one object a line on stderr, for programs",
    values: { words: PROGRESS_WAYS },
  },
};

/** Of every command that shows times; `Output.style` has the zone. */
export const UTC_OPTION: Option = { type: "boolean", help: "times in UTC, not in your zone" };

/** The value of an option that takes one. */
export function textOption({ options }: Arguments, name: string): string | undefined {
  const value = options[name];
  return typeof value === "string" ? value : undefined;
}

/** The values of an option that may be given several times. */
export function textOptions({ options }: Arguments, name: string): string[] {
  const value = options[name];
  return Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];
}

export function isSet({ options }: Arguments, name: string): boolean {
  return options[name] === true;
}
