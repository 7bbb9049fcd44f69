import { Pg321Error } from "../base/errors.ts";
import { isRoot } from "../base/process/become-user.ts";
import { ownProgram } from "../base/process/own-program.ts";
import { configPath, loadConfig, processSource } from "../config/load.ts";
import { stateOwner } from "../install/state-owner.ts";
import { writeNewDump } from "../jobs/restore/export-members.ts";
import { requireAbsent } from "../jobs/restore/new-file.ts";
import type { Invocation } from "./command.ts";
import { textOption } from "./command.ts";
import { filesLines } from "./output/restore-text.ts";

/*
 * `restore --output FILE` as root: a process that touches catalog and storages must become the owner of the state
 * directory and can then no longer write into root's directories. So a second process reads the backup and pipes the
 * dump to this one, which writes the file as root, as the user expects.
 */

/** The options that are passed on to the second process. */
const OPTIONS = ["database", "from", "config", "log-level", "log-format"];

/** Whether this command runs as root and would have to become another user. */
export async function isOwnedByAnother({ arguments: args, env }: Invocation): Promise<boolean> {
  if (!isRoot()) return false;
  const file = configPath(textOption(args, "config"), env);
  const { state_dir } = await loadConfig(file, processSource(), { setsAside: true });
  return (await stateOwner(state_dir)) !== undefined;
}

/** Resolves with the exit code of the second process, which prints its errors itself; the file exists only if it is 0. */
export async function writeDumpAsRoot(invocation: Invocation, file: string): Promise<number> {
  await requireAbsent(file);
  const { arguments: args } = invocation;
  const words = OPTIONS.flatMap((name) => {
    const value = textOption(args, name);
    return value === undefined ? [] : [`--${name}=${value}`];
  });
  try {
    const dump = outputOfOwner(["restore", ...args.positionals, "--output=-", ...words], invocation);
    const { files } = await writeNewDump(file, dump);
    for (const line of filesLines(file, files)) invocation.output.note(line);
    return 0;
  } catch (error) {
    if (error instanceof ChildFailed) return error.exitCode;
    throw error;
  }
}

/** The second process failed, and has printed why. */
export class ChildFailed extends Error {
  readonly exitCode: number;
  constructor(exitCode: number) {
    super(`exit code ${exitCode}`);
    this.exitCode = exitCode;
  }
}

/** The output of a second process. Ends only if that process succeeded; throws `ChildFailed` otherwise. */
export async function* outputOfOwner(
  words: readonly string[],
  { env, signal }: Invocation,
): AsyncGenerator<Uint8Array, void, undefined> {
  const child = Bun.spawn([...ownProgram(), ...words], {
    env,
    stdio: ["inherit", "pipe", "inherit"],
  });
  // A terminal sends ^C to both processes; a second signal would kill the child before it has cleaned up.
  const isAlone = () => signal.reason instanceof Pg321Error && signal.reason.code === "terminated";
  const onAbort = () => void (isAlone() && child.kill("SIGTERM"));
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    for await (const chunk of child.stdout) {
      signal.throwIfAborted();
      yield chunk;
    }
    const exitCode = await child.exited;
    signal.throwIfAborted();
    if (exitCode !== 0) throw new ChildFailed(exitCode);
  } finally {
    signal.removeEventListener("abort", onAbort);
    // Leaving the loop has closed the pipe, which ends the child.
    await child.exited;
  }
}
