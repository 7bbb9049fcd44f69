import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { messageOf, Pg321Error } from "../base/errors.ts";
import { processIdentity } from "../base/process-identity.ts";

/** Private directories in `temp_dir` are called so, with the process that made them. */
const OWN_NAME = /^pg321-(?:spool|libpq)-(\d+)-[A-Za-z0-9]{6}$/;

/**
 * Makes the directory for temporary files, 0700, and removes what killed processes left there: passwords
 * and dumps must not stay. One that is there keeps its mode, since it may be anybody's: what is made in it
 * is private by itself. Throws code `storage`.
 */
export async function prepareTempDir(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    for (const entry of await readdir(path, { withFileTypes: true })) {
      const pid = OWN_NAME.exec(entry.name)?.[1];
      const directory = join(path, entry.name);
      if (!entry.isDirectory() || pid === undefined || (await isInUse(directory, Number(pid)))) continue;
      await rm(directory, { recursive: true, force: true });
    }
  } catch (cause) {
    throw new Pg321Error("storage", `temp_dir ${path}: ${messageOf(cause)}`, {
      hint: "pg321 must be able to make it and to write there",
      cause,
    });
  }
}

/**
 * Whether the process that made a temporary file or directory lives. In a container every run has the same pid:
 * what is older than this process is not its own.
 */
export async function isInUse(path: string, pid: number): Promise<boolean> {
  if (pid === process.pid) return (await stat(path)).mtimeMs >= performance.timeOrigin;
  return processIdentity(pid).pid_start !== null;
}
