import { chmod, mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { messageOf, Pg321Error } from "../base/errors.ts";
import { isAlive } from "../catalog/lease.ts";

/** Private directories in `temp_dir` are called so, with the process that made them. */
const OWN_NAME = /^pg321-(?:spool|libpq)-(\d+)-[A-Za-z0-9]{6}$/;

/**
 * Makes the directory for temporary files, 0700, and removes what killed processes left there: passwords
 * and dumps must not stay. Throws code `storage`.
 */
export async function prepareTempDir(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    await chmod(path, 0o700);
    for (const entry of await readdir(path, { withFileTypes: true })) {
      const pid = OWN_NAME.exec(entry.name)?.[1];
      if (!entry.isDirectory() || pid === undefined || isAlive({ pid: Number(pid), pid_start: null }))
        continue;
      await rm(join(path, entry.name), { recursive: true, force: true });
    }
  } catch (cause) {
    throw new Pg321Error("storage", `temp_dir ${path}: ${messageOf(cause)}`, {
      hint: "pg321 must be able to make it and to write there",
      cause,
    });
  }
}
