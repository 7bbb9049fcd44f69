import { setImmediate } from "node:timers/promises";
import { EXIT_CODES, endedBy, exitCodeOf, messageOf, Pg321Error } from "./base/errors.ts";
import { allWritten } from "./base/process/all-written.ts";
import { journalHasRead, leadsToJournal, PRIORITY, withPriority } from "./base/process/journal.ts";
import { widenThreadPool } from "./base/process/thread-pool.ts";
import { visibleLines } from "./base/text/visible.ts";
import { runProgram } from "./cli/program.ts";
import { processSource } from "./config/load.ts";

/*
 * The only place that ends the process. The first signal aborts the run: child processes end, uploads are aborted and
 * records are closed. A second signal ends the process at once.
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
    ended.abort(new Pg321Error(code, endedBy(name)));
  });
}

// A reader that closes the pipe early (`| head -1`) is not an error; any other error of stdout is.
let outputError: NodeJS.ErrnoException | undefined;
process.stdout.on("error", (error) => {
  outputError ??= error;
});
process.stderr.on("error", () => {});

try {
  process.exitCode = await runProgram(process.argv.slice(2), ended.signal);
} catch (error) {
  const cause = ended.signal.aborted ? ended.signal.reason : error;
  const text = errorText(cause);
  const isJournal = leadsToJournal(processSource().env["JOURNAL_STREAM"], process.stderr.fd);
  process.stderr.write(isJournal ? withPriority(text, PRIORITY.error) : text);
  process.exitCode = exitCodeOf(cause);
}
// Pending output must reach its reader; after that the process ends, even if keep-alive sockets are still open.
if (!(await allWritten(process.stdout, ended.signal))) process.exitCode = exitCodeOf(ended.signal.reason);
// The error event of a write comes one turn of the event loop later.
await setImmediate();
if (outputError && outputError.code !== "EPIPE" && process.exitCode === EXIT_CODES.ok) {
  process.stderr.write(`error: stdout: ${messageOf(outputError)}\n`);
  process.exitCode = EXIT_CODES.storage;
}
await allWritten(process.stderr, ended.signal);
await journalHasRead();
process.exit();

function errorText(error: unknown): string {
  if (error instanceof Pg321Error) {
    return visibleLines(
      `error: ${error.message}\n${error.hint === undefined ? "" : `hint: ${error.hint}\n`}`,
    );
  }
  const stack = error instanceof Error ? (error.stack ?? error.message) : messageOf(error);
  return `error: internal error (a bug in pg321): ${messageOf(error)}\n${stack}\nhint: please report it with this text\n`;
}
