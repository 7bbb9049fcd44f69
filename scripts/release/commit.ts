import { join } from "node:path";
import { version } from "../../package.json";

export const ROOT: string = join(import.meta.dir, "../..");

/** Everything that the bytes of a release depend on besides the files of the commit. */
export interface Release {
  version: string;
  /** As `--version` prints it. */
  commit: string;
  /** SOURCE_DATE_EPOCH: seconds since 1970, of the commit. */
  epoch: number;
  /** In the packages: `Name <address>`. */
  maintainer: string;
}

/** A problem that a person can solve: printed in two lines, without a stack trace. */
export class ReleaseError extends Error {
  readonly hint: string;

  constructor(message: string, hint: string) {
    super(message);
    this.hint = hint;
  }
}

/** The release of the commit that is checked out; its author maintains the packages unless another one is named. */
export async function releaseOfCommit(maintainer?: string): Promise<Release> {
  const line = await output(["git", "log", "-1", "--format=%H%n%ct%n%an <%ae>"], { cwd: ROOT });
  const [hash = "", time = "", author = ""] = line.trim().split("\n");
  return { version, commit: hash.slice(0, 7), epoch: Number(time), maintainer: maintainer ?? author };
}

/** Throws if the files differ from the commit: nobody could make the same release again. */
export async function refuseUncommitted(): Promise<void> {
  const changed = await output(["git", "status", "--porcelain"], { cwd: ROOT });
  if (changed === "") return;
  throw new ReleaseError(
    `these files are not committed:\n${changed.trimEnd()}`,
    "commit them, or make a trial with --dirty",
  );
}

/** The environment of every tool: no time zone, language or umask of the releaser's reaches the files. */
export function toolEnvironment({ epoch }: Pick<Release, "epoch">): Record<string, string> {
  const { PATH = "/usr/bin:/bin", HOME = "/nonexistent" } = process.env;
  return { PATH, HOME, LC_ALL: "C.UTF-8", TZ: "UTC", SOURCE_DATE_EPOCH: String(epoch) };
}

interface ToolOptions {
  cwd?: string;
  env?: Record<string, string>;
}

/** The output of a program. Throws with everything that it printed unless its exit code is 0. */
export async function output(argv: string[], { cwd, env }: ToolOptions = {}): Promise<string> {
  const child = Bun.spawn(argv, {
    ...(cwd !== undefined && { cwd }),
    env: env ?? process.env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [stdout, stderr, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (exitCode === 0) return stdout;
  throw new ReleaseError(`${argv.join(" ")}: exit ${exitCode}`, `it printed:\n${stdout}${stderr}`.trimEnd());
}
