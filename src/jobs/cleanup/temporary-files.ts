import { lstat, readdir, unlink } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../../base/errors.ts";
import { requireAnswer } from "../../base/files/place.ts";
import { isOwnTempDir, removeLeftDirectories } from "../temp-dir.ts";

/** What our own jobs, and tools that were told to use this directory, call their temporary files. */
const TEMPORARY = /\.tmp$|\.temp$|^test_restore_/;

/**
 * Removes what killed processes left in the temporary directory, and where that is pg321's own, also temporary
 * files from before `olderThan`: in anybody's directory those may be anybody's. Only regular files that stand in it
 * directly: nothing is followed, and nothing entered. Never throws for one file's sake. Returns how many went.
 */
export async function removeTemporaryFiles(
  directory: string,
  olderThan: Date,
  onError: (file: string, error: string) => void,
): Promise<number> {
  await requireAnswer(`temp_dir ${directory}`, directory);
  let count = await removeLeftDirectories(directory);
  if (!(await isOwnTempDir(directory))) return count;
  for (const name of await readdir(directory)) {
    if (!TEMPORARY.test(name)) continue;
    const path = join(directory, name);
    try {
      const stats = await lstat(path);
      if (!stats.isFile() || stats.mtime >= olderThan) continue;
      // A symbolic link that has taken its place since would go itself, not what it points to.
      await unlink(path);
      count++;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") onError(path, messageOf(error));
    }
  }
  return count;
}
