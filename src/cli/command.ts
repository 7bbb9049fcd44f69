import type { ParseArgsConfig } from "node:util";
import type { Clock } from "../base/clock.ts";
import type { Log, LogLevel } from "../base/log.ts";
import type { Output, Style } from "./output/output.ts";

type ParsedOptions = NonNullable<ParseArgsConfig["options"]>;

/** One option of a command, in the form of `util.parseArgs` plus what help says of it. */
export type Option = ParsedOptions[string] & {
  /** How the value is called in help: `FILE`. None for a switch. */
  value?: string;
  help: string;
};

/** The parsed words of a command line. */
export interface Arguments {
  positionals: string[];
  /** Values by option name, as `util.parseArgs` gives them. */
  options: Record<string, string | boolean | (string | boolean)[] | undefined>;
}

export interface Terminal {
  /** Replaces the lines that are redrawn in place. */
  draw: (lines: readonly string[]) => void;
  columns: () => number;
  style: Style;
  /** Whether a person can be asked, too. */
  isInteractive: boolean;
}

/** What a command runs with. */
export interface Invocation {
  arguments: Arguments;
  output: Output;
  log: Log;
  clock: Clock;
  /** Aborted by SIGINT or SIGTERM. */
  signal: AbortSignal;
  env: Record<string, string | undefined>;
  /** Where progress is drawn; undefined where stderr is no terminal, or a dumb one. */
  terminal: Terminal | undefined;
  stdin: () => AsyncIterable<Uint8Array>;
}

/** What one command takes and does: a file in `commands` each. Its name and its summary are in `registry.ts`. */
export interface Command {
  /** The words after the name: `[DATABASE…]`. */
  usage: string;
  /** What a reader must know beyond the summary. */
  description?: string;
  options: Record<string, Option>;
  examples: { command: string; explanation: string }[];
  /** Least and most positional words. */
  positionals: { min: number; max: number };
  /** Resolves with the exit code. Throws for everything that went wrong. */
  run(invocation: Invocation): Promise<number>;
}

/** Options that every command takes. */
export const COMMON_OPTIONS: Record<string, Option> = {
  config: {
    type: "string",
    short: "c",
    value: "FILE",
    help: "the config (else PG321_CONFIG, else /etc/pg321/config.toml)",
  },
  "log-level": { type: "string", value: "LEVEL", help: "debug, info, warning or error" },
  "log-format": {
    type: "string",
    value: "FORMAT",
    help: "text or json (json under systemd, else text)",
  },
  help: { type: "boolean", short: "h", help: "show this help" },
};

export const JSON_OPTION: Option = { type: "boolean", help: "print JSON" };

export const LOG_LEVELS: readonly LogLevel[] = ["debug", "info", "warning", "error"];

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
