import { systemClock } from "../base/clock.ts";
import { EXIT_CODES, Pg321Error } from "../base/errors.ts";
import type { Log, LogLevel } from "../base/log.ts";
import { createLog } from "../base/log.ts";
import { COMMIT, VERSION } from "../base/version.ts";
import { processSource } from "../config/load.ts";
import type { Arguments, Invocation } from "./command.ts";
import { isSet, LOG_LEVELS, textOption } from "./command.ts";
import { commandHelp, programHelp } from "./help.ts";
import type { Output } from "./output.ts";
import { styleFor } from "./output.ts";
import { parseArguments, unknownCommand } from "./parse.ts";
import { COMMANDS } from "./registry.ts";

/** Runs the program with the words of its command line. Resolves with the exit code; throws what went wrong. */
export async function runProgram(words: readonly string[], signal: AbortSignal): Promise<number> {
  const { env } = processSource();
  const output = standardOutput(env);
  const [word, ...rest] = words;
  if (word === undefined || word === "--help" || word === "-h" || (word === "help" && rest.length === 0)) {
    output.print(programHelp(output.style));
    return word === undefined ? EXIT_CODES.usage : EXIT_CODES.ok;
  }
  if (word === "--version" || word === "-V") {
    output.print(`pg321 ${VERSION} (${COMMIT})`);
    return EXIT_CODES.ok;
  }
  if (word === "help") return runProgram([...rest, "--help"], signal);
  const entry = COMMANDS.find(({ name }) => name === word);
  if (!entry)
    throw unknownCommand(
      word,
      COMMANDS.map(({ name }) => name),
    );
  const { command } = await entry.load();
  const parsed = parseArguments(command, rest);
  if (isSet(parsed, "help")) {
    output.print(commandHelp(command, output.style));
    return EXIT_CODES.ok;
  }
  const invocation: Invocation = {
    arguments: parsed,
    output,
    log: commandLog(parsed, env),
    clock: systemClock,
    signal,
    env,
    terminal: process.stderr.isTTY ? standardTerminal(env) : undefined,
    stdin: () => Bun.stdin.stream(),
  };
  return command.run(invocation);
}

function commandLog(args: Arguments, env: Record<string, string | undefined>): Log {
  const format = textOption(args, "log-format") ?? (env["JOURNAL_STREAM"] ? "json" : "text");
  if (format !== "text" && format !== "json") {
    throw new Pg321Error("usage", `--log-format is "${format}", expected text or json`);
  }
  // A person at a terminal sees progress and results; what went as planned would only be in the way.
  const text = textOption(args, "log-level") ?? (process.stderr.isTTY ? "warning" : "info");
  const level = LOG_LEVELS.find((one): one is LogLevel => one === text);
  if (!level) throw new Pg321Error("usage", `--log-level is "${text}", expected ${LOG_LEVELS.join(", ")}`);
  return createLog({ format, level, write: (line) => process.stderr.write(line) });
}

function standardTerminal(env: Record<string, string | undefined>) {
  return {
    write: (text: string) => process.stderr.write(text),
    columns: () => process.stderr.columns || 80,
    style: styleFor(true, env),
    isInteractive: process.stdin.isTTY === true,
  };
}

function standardOutput(env: Record<string, string | undefined>): Output {
  const isTerminal = process.stdout.isTTY === true;
  return {
    print: (text) => process.stdout.write(`${text}\n`),
    note: (text) => process.stderr.write(`${text}\n`),
    write: (bytes) =>
      new Promise((resolve, reject) => {
        process.stdout.write(bytes, (error) => (error ? reject(error) : resolve()));
      }),
    style: styleFor(isTerminal, env),
    columns: isTerminal ? process.stdout.columns : undefined,
  };
}
