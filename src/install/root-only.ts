import { lstat, readlink } from "node:fs/promises";
import { join } from "node:path";

/** The kernel's own limit. */
const SYMLINKS_MAX = 40;

/**
 * The first directory on the way to `path`, symlinks followed, in which somebody other than root can create or
 * replace files; undefined if there is none. There, root must not create anything by name or change the owner of
 * anything by name: somebody could put a symlink to a file of root's in its place. The rights of `path` itself do
 * not matter. The walk ends at the first part that does not exist. Rejects with the error of the system.
 */
export async function writableByOthers(path: string): Promise<string | undefined> {
  const left = path.split("/").filter((name) => name !== "");
  let directory = "/";
  for (let symlinks = 0; left.length > 0; ) {
    const { uid, mode } = await lstat(directory);
    // This covers ACLs too: the group bits show the most that an ACL grants to anybody.
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
