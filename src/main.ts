import { setImmediate } from "node:timers/promises";
import { EXIT_CODES, exitCodeOf, messageOf, Pg321Error } from "./base/errors.ts";
import { asErrors, leadsToJournal } from "./base/process/journal.ts";
import { widenThreadPool } from "./base/process/thread-pool.ts";
import { visibleLines } from "./base/text/visible.ts";
import { runProgram } from "./cli/program.ts";
import { processSource } from "./config/load.ts";

/*
 * The only place that ends the process. Signals abort the run, so that children end, uploads are aborted
 * and records are closed; a second one ends the process at once.
 */
process.umask(0o077);
await widenThreadPool();
const ended = new AbortController();
for (const [name, code] of [
  ["SIGINT", "interrupted"],
  ["SIGTERM", "terminated"],
] as const) {
  process.on(name, () => {
    if (ended.signal.aborted) process.exit(EXIT_CODES[code]);
    ended.abort(new Pg321Error(code, `ended by ${name}`));
  });
}

// A reader that has seen enough (`| head -1`) is no failure of the command; anything else is one.
let outputError: NodeJS.ErrnoException | undefined;
process.stdout.on("error", (error) => {
  outputError ??= error;
});
process.stderr.on("error", () => {});

try {
  process.exitCode = await runProgram(process.argv.slice(2), ended.signal);
} catch (error) {
  const told = ended.signal.aborted ? ended.signal.reason : error;
  const text = errorText(told);
  const isJournal = leadsToJournal(processSource().env["JOURNAL_STREAM"], process.stderr.fd);
  process.stderr.write(isJournal ? asErrors(text) : text);
  process.exitCode = exitCodeOf(told);
}
// What is still on its way to a pipe must arrive; sockets that are kept alive must not hold the process.
await new Promise((resolve) => process.stdout.write("", resolve));
// The error of a write is told a turn later.
await setImmediate();
if (outputError && outputError.code !== "EPIPE" && process.exitCode === EXIT_CODES.ok) {
  process.stderr.write(`error: stdout: ${messageOf(outputError)}\n`);
  process.exitCode = EXIT_CODES.storage;
}
process.exit();

function errorText(error: unknown): string {
  if (error instanceof Pg321Error) {
    return visibleLines(
      `error: ${error.message}\n${error.hint === undefined ? "" : `hint: ${error.hint}\n`}`,
    );
  }
  const stack = error instanceof Error ? (error.stack ?? error.message) : messageOf(error);
  return `error: this is a bug of pg321: ${messageOf(error)}\n${stack}\nhint: report it, with this text\n`;
}
