import type { Stats } from "node:fs";
import { lstat, mkdir, readdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { messageOf, Pg321Error } from "../base/errors.ts";
import { requireAnswer } from "../base/files/place.ts";
import { isInUse, makerOfDirectory } from "../base/files/private-files.ts";
import { MEMORY_DIR, TAKES_NOTHING } from "../postgres/libpq.ts";

/** Stands in a directory that is pg321's alone. */
export const MARK = ".pg321-temp-dir";
const MARK_TEXT =
  "This directory is pg321's own. pg321 cleanup removes old files named *.tmp, *.temp and test_restore_* from it.\n";

/**
 * Makes the directory for temporary files, 0700, and removes what killed processes left there: passwords and dumps
 * must not stay. A directory that is there keeps its mode, since it may be anybody's: what is made in it is private
 * by itself. It is marked as pg321's own when pg321 makes it, or finds it private and holding nothing of others.
 * Throws code `storage`.
 */
export async function prepareTempDir(path: string, signal?: AbortSignal): Promise<void> {
  await requireAnswer(`temp_dir ${path}`, path, signal);
  // Passwords lie there where this one has no room for them.
  await removeLeftDirectories(MEMORY_DIR).catch(() => {});
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    await removeLeftDirectories(path);
    if (isPrivate(await stat(path)) && (await readdir(path)).every((name) => makerOfDirectory(name)))
      // On a full disk, say, it stays without: nothing depends on it but the sweep.
      await writeFile(join(path, MARK), MARK_TEXT, { flag: "wx", mode: 0o600 }).catch(() => {});
  } catch (cause) {
    // Who needs room in it will tell; a restore need not.
    if (TAKES_NOTHING.includes((cause as NodeJS.ErrnoException).code)) return;
    throw new Pg321Error("storage", `temp_dir ${path}: ${messageOf(cause)}`, {
      hint: "pg321 must be able to create it and to write to it",
      cause,
    });
  }
}

/** Removes the private directories of processes that are gone, whosever `path` is, and returns how many. */
export async function removeLeftDirectories(path: string): Promise<number> {
  let count = 0;
  for (const name of await readdir(path)) {
    const maker = makerOfDirectory(name);
    if (maker === undefined) continue;
    const directory = join(path, name);
    const stats = await lstat(directory).catch(ignoreMissing);
    // Anybody can make a directory of that name in /tmp, and nobody one that is ours and private.
    if (!stats || !isPrivate(stats) || isInUse(maker, stats.mtimeMs)) continue;
    await rm(directory, { recursive: true, force: true });
    count++;
  }
  return count;
}

/** Whether a directory is pg321's alone: its user's, closed to everybody else, and marked by pg321. */
export async function isOwnTempDir(path: string): Promise<boolean> {
  if (!isPrivate(await stat(path))) return false;
  const mark = await lstat(join(path, MARK)).catch(ignoreMissing);
  return mark?.isFile() === true && isOurs(mark);
}

function isPrivate(stats: Stats): boolean {
  return stats.isDirectory() && isOurs(stats) && (stats.mode & 0o077) === 0;
}

function isOurs({ uid }: Stats): boolean {
  return uid === process.geteuid?.();
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}
