import { systemClock } from "../base/clock.ts";
import { EXIT_CODES, messageOf, Pg321Error } from "../base/errors.ts";
import type { Log, LogLevel } from "../base/log.ts";
import { createLog } from "../base/log.ts";
import { leadsToJournal, openJournal } from "../base/process/journal.ts";
import { visible } from "../base/text/visible.ts";
import { localZone } from "../base/text/zoned-time.ts";
import { COMMIT, VERSION } from "../base/version.ts";
import { processSource } from "../config/load.ts";
import { RECOVERY_PAGE } from "../install/recovery-page.ts";
import type { Arguments, Invocation, Terminal } from "./command.ts";
import { isSet, LOG_LEVELS, PROGRESS_WAYS, textOption } from "./command.ts";
import { splitCommandLine, unknownCommand } from "./command-line.ts";
import { commandHelp, programHelp } from "./help.ts";
import { LiveLines } from "./output/live-lines.ts";
import type { Output } from "./output/output.ts";
import { isSmartTerminal, styleFor } from "./output/output.ts";
import { choiceOption, parseArguments } from "./parse.ts";
import { COMMANDS } from "./registry.ts";

/** Runs the program with its command line. Resolves with the exit code; rejects if something goes wrong. */
export async function runProgram(words: readonly string[], signal: AbortSignal): Promise<number> {
  const { env } = processSource();
  const screen = new LiveLines((text) => process.stderr.write(text));
  const output = standardOutput(env, screen);
  const { before, word, rest } = await splitCommandLine(words, COMMANDS);
  if (word === undefined || (word === "help" && rest.length === 0)) {
    output.print(programHelp(output.style));
    return word !== undefined || before.includes("--help") ? EXIT_CODES.ok : EXIT_CODES.usage;
  }
  if (word === "--version" || word === "-V") {
    output.print(`pg321 ${VERSION} (${COMMIT})`);
    return EXIT_CODES.ok;
  }
  if (word === "help" && rest[0] === "recovery") {
    output.print(RECOVERY_PAGE.trimEnd());
    return EXIT_CODES.ok;
  }
  if (word === "help" && rest[0] === "schema") {
    output.print((await import("../install/config-schema.ts")).CONFIG_SCHEMA.trimEnd());
    return EXIT_CODES.ok;
  }
  if (word === "help") return runProgram([...before, ...rest, "--help"], signal);
  // The second process of `restore --as`; not a command for people.
  if (word === "peer-relay") return (await import("../postgres/peer-relay.ts")).runPeerRelay(rest);
  if (word === "complete-words") {
    const { completeWords } = await import("./completion/answer.ts");
    return completeWords(rest, { clock: systemClock, signal, env, print: output.print });
  }
  const entry = COMMANDS.find(({ name }) => name === word);
  if (!entry) throw unknownCommand(word, names());
  const { command } = await entry.load();
  const parsed = parseArguments(word, command, [...before, ...rest]);
  if (isSet(parsed, "help")) {
    output.print(commandHelp(entry, command, output.style));
    return EXIT_CODES.ok;
  }
  output.style.timezone = isSet(parsed, "utc") ? "UTC" : localZone();
  const terminal = isSmartTerminal(process.stderr, env) ? standardTerminal(env, screen) : undefined;
  const isQuiet = isSet(parsed, "quiet");
  const way = choiceOption(word, "--progress", textOption(parsed, "progress"), PROGRESS_WAYS);
  const invocation: Invocation = {
    arguments: parsed,
    output: isQuiet ? quietOutput(output, isSet(parsed, "json")) : output,
    log: await commandLog(parsed, env, screen, terminal !== undefined),
    clock: systemClock,
    signal,
    env,
    terminal,
    progress: way ?? (isQuiet ? "none" : "auto"),
    writeError: (text) => screen.write(text),
    stdin: () => Bun.stdin.stream(),
  };
  return command.run(invocation);
}

function names(): string[] {
  return COMMANDS.map(({ name }) => name);
}

type Environment = Record<string, string | undefined>;

/** Without `--log-format`, the log of a process whose stderr is the journal goes there as entries with fields. */
async function commandLog(
  args: Arguments,
  env: Environment,
  screen: LiveLines,
  isWatched: boolean,
): Promise<Log> {
  const wanted = textOption(args, "log-format");
  const format = wanted ?? "text";
  if (format !== "text" && format !== "json") {
    throw new Pg321Error("usage", `--log-format is "${format}", expected text or json`);
  }
  // A person at a terminal sees progress and results; lines at level info would only clutter them.
  const usual = isWatched ? "warning" : "info";
  const text = textOption(args, "log-level") ?? (isSet(args, "quiet") ? "error" : usual);
  const level = LOG_LEVELS.find((one): one is LogLevel => one === text);
  if (!level) throw new Pg321Error("usage", `--log-level is "${text}", expected ${LOG_LEVELS.join(", ")}`);
  const isJournal = wanted === undefined && leadsToJournal(env["JOURNAL_STREAM"], process.stderr.fd);
  return createLog({
    format,
    level,
    write: (line) => screen.write(line),
    ...(isJournal && { journal: await openJournal() }),
  });
}

function standardTerminal(env: Environment, screen: LiveLines): Terminal {
  return {
    draw: (lines) => screen.draw(lines),
    columns: () => columnsOf(process.stderr, env),
    style: styleFor(true, env),
    isInteractive: process.stdin.isTTY === true,
  };
}

function standardOutput(env: Environment, screen: LiveLines): Output {
  const write = (bytes: Uint8Array | string) =>
    new Promise<void>((resolve, reject) => {
      process.stdout.write(bytes, (error) => (error ? reject(notWritten(error)) : resolve()));
    });
  return {
    print: (text) => process.stdout.write(`${text}\n`),
    note: (text) => screen.write(`${visible(text)}\n`),
    printPart: write,
    write,
    style: {
      ...styleFor(isSmartTerminal(process.stdout, env), env),
      columns: process.stdout.isTTY ? columnsOf(process.stdout, env) : undefined,
    },
    isTerminal: process.stdout.isTTY === true,
    screen: isSmartTerminal(process.stdout, env)
      ? {
          write: (text) => process.stdout.write(text),
          size: () => ({ columns: columnsOf(process.stdout, env), rows: process.stdout.rows || 24 }),
        }
      : undefined,
  };
}

/** The width of a terminal: COLUMNS, if it is set, or what the terminal says. */
function columnsOf({ columns }: { columns?: number }, env: Environment): number {
  const wanted = env["COLUMNS"] ?? "";
  return /^[1-9]\d{0,4}$/.test(wanted) ? Number(wanted) : columns || 80;
}

/** `--quiet`: only what was asked for by another option is printed. */
function quietOutput(output: Output, isJson: boolean): Output {
  const { print, printPart } = isJson ? output : { print: () => {}, printPart: async () => {} };
  return { ...output, print, printPart, note: () => {} };
}

function notWritten(cause: Error): Pg321Error {
  if ((cause as NodeJS.ErrnoException).code === "EPIPE") {
    return new Pg321Error("storage", "stdout: the reader closed the pipe before the end", {
      hint: "the reader did not get the whole dump; ignore this if it needed only the beginning",
      cause,
    });
  }
  return new Pg321Error("storage", `stdout: ${messageOf(cause)}`, { cause });
}
