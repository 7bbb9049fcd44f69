import { lstat, readdir, unlink } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../../base/errors.ts";
import { requireAnswer } from "../../base/files/place.ts";
import { isOwnTempDir, removeLeftDirectories } from "../temp-dir.ts";

/** Names of temporary files of our jobs and of tools that were told to use this directory. */
const TEMPORARY = /\.tmp$|\.temp$|^test_restore_/;

/**
 * Removes the private directories that killed processes left in the temporary directory. If the directory is pg321's
 * own, temporary files older than `olderThan` are removed too; in a shared directory they could be anybody's. Only
 * regular files directly in it: no symlink is followed and no directory entered. A single file that cannot be removed
 * is reported and throws nothing. Returns the number removed.
 */
export async function removeTemporaryFiles(
  directory: string,
  olderThan: Date,
  onError: (file: string, error: string) => void,
): Promise<number> {
  await requireAnswer(`temp_dir ${directory}`, directory);
  let count = await removeLeftDirectories(directory, onError);
  if (!(await isOwnTempDir(directory))) return count;
  for (const name of await readdir(directory)) {
    if (!TEMPORARY.test(name)) continue;
    const path = join(directory, name);
    try {
      const stats = await lstat(path);
      if (!stats.isFile() || stats.mtime >= olderThan) continue;
      // If a symbolic link has taken its place since, unlink removes the link, not its target.
      await unlink(path);
      count++;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") onError(path, messageOf(error));
    }
  }
  return count;
}
