import type { Stats } from "node:fs";
import { lstat, mkdir, readdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { messageOf, Pg321Error } from "../base/errors.ts";
import { ignoring } from "../base/files/missing.ts";
import { requireAnswer } from "../base/files/place.ts";
import { isClusterDirectory, isInUse, isLeft, makerOfDirectory } from "../base/files/private-files.ts";
import type { Log } from "../base/log.ts";
import { isRoot } from "../base/process/become-user.ts";
import { removeCluster } from "../postgres/cluster/left-cluster.ts";
import { CLUSTER_DIR_OF_ROOT } from "../postgres/cluster/throwaway.ts";
import { MEMORY_DIR, TAKES_NOTHING } from "../postgres/libpq.ts";

/** A file that marks a directory as pg321's own. */
export const MARK = ".pg321-temp-dir";
const MARK_TEXT =
  "This directory is pg321's own. pg321 cleanup removes old files named *.tmp, *.temp and test_restore_* from it.\n";

/**
 * Creates the directory for temporary files with mode 0700 and removes files that killed processes left there:
 * passwords and dumps must not stay. An existing directory keeps its mode, because it may be shared; files that pg321
 * creates in it are private anyway. pg321 marks the directory as its own if it creates it, or finds it private and
 * without files of others. Throws code `storage`.
 */
export async function prepareTempDir(path: string, log: Log, signal?: AbortSignal): Promise<void> {
  await requireAnswer(`temp_dir ${path}`, path, signal);
  const onError = (directory: string, error: string) =>
    log.warning("what a killed process left could not be removed; it may hold a password or a dump", {
      ...{ directory, error },
    });
  const removeFrom = (other: string) =>
    removeLeftDirectories(other, onError).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") onError(other, messageOf(error));
    });
  // Password files are put there if this directory is full.
  await removeFrom(MEMORY_DIR);
  if (isRoot()) await removeFrom(CLUSTER_DIR_OF_ROOT);
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    await removeLeftDirectories(path, onError);
    if (isPrivate(await stat(path)) && (await readdir(path)).every((name) => makerOfDirectory(name)))
      // If this fails (full disk, for example), only the removal of old files is affected.
      await writeFile(join(path, MARK), MARK_TEXT, { flag: "wx", mode: 0o600 }).catch(() => {});
  } catch (cause) {
    // A job that needs space in it will report that; a restore may not need any.
    if (TAKES_NOTHING.includes((cause as NodeJS.ErrnoException).code)) return;
    throw new Pg321Error("storage", `temp_dir ${path}: ${messageOf(cause)}`, {
      hint: "pg321 must be able to create it and to write to it",
      cause,
    });
  }
}

/**
 * Removes the private directories of dead processes, whoever owns `path`, and those that this process could not remove
 * before. One that still cannot be removed is reported and throws nothing. Returns the number removed.
 */
export async function removeLeftDirectories(
  path: string,
  onError: (directory: string, error: string) => void,
): Promise<number> {
  let count = 0;
  for (const name of await readdir(path)) {
    const maker = makerOfDirectory(name);
    if (maker === undefined) continue;
    const directory = join(path, name);
    const stats = await lstat(directory).catch(ignoring("ENOENT"));
    // Anybody can create a directory with such a name in /tmp, but only we can create one that is ours and private.
    if (!stats || !(isPrivate(stats) || isClusterOfRoot(name, stats))) continue;
    if (!isLeft(directory) && isInUse(maker, stats.mtimeMs)) continue;
    try {
      if (isClusterDirectory(name)) await removeCluster(directory);
      await rm(directory, { recursive: true, force: true });
      count++;
    } catch (error) {
      onError(directory, messageOf(error));
    }
  }
  return count;
}

/** Whether a directory is pg321's own: owned by its user, closed to all others, and marked by pg321. */
export async function isOwnTempDir(path: string): Promise<boolean> {
  if (!isPrivate(await stat(path))) return false;
  const mark = await lstat(join(path, MARK)).catch(ignoring("ENOENT"));
  return mark?.isFile() === true && isOurs(mark);
}

function isPrivate(stats: Stats): boolean {
  return stats.isDirectory() && isOurs(stats) && (stats.mode & 0o077) === 0;
}

/** Root lets the account that runs PostgreSQL pass through. */
function isClusterOfRoot(name: string, stats: Stats): boolean {
  return isRoot() && isClusterDirectory(name) && isOurs(stats) && (stats.mode & 0o066) === 0;
}

function isOurs({ uid }: Stats): boolean {
  return uid === process.geteuid?.();
}
