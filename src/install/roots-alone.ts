import { lstat, readlink } from "node:fs/promises";
import { join } from "node:path";

/** As many as the kernel follows. */
const SYMLINKS_MAX = 40;

/**
 * The first directory on the way to `path`, symlinks followed, in which anybody but root may put or replace
 * something; undefined where there is none. Root must not make a thing there, nor give one away by its name:
 * another can put a symlink to something of root's in its place. Of `path` itself only the name counts. What
 * is not there yet ends the way. Rejects with the error of the system.
 */
export async function openToOthers(path: string): Promise<string | undefined> {
  const left = path.split("/").filter((name) => name !== "");
  let directory = "/";
  for (let symlinks = 0; left.length > 0; ) {
    const { uid, mode } = await lstat(directory);
    // Also of a list of rights: the most that it gives to anybody shows in the bits of the group.
    if (uid !== 0 || (mode & 0o022) !== 0) return directory;
    const next = join(directory, left.shift() ?? "");
    const stats = await lstat(next).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
      throw error;
    });
    if (stats === undefined) return undefined;
    if (!stats.isSymbolicLink()) directory = next;
    else {
      if (++symlinks > SYMLINKS_MAX) return directory;
      const target = await readlink(next);
      if (target.startsWith("/")) directory = "/";
      left.unshift(...target.split("/").filter((name) => name !== ""));
    }
  }
  return undefined;
}
