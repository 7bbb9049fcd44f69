import { constants } from "node:fs";
import { open, rmdir, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { Pg321Error } from "../../base/errors.ts";
import { codeOf, ignoring } from "../../base/files/missing.ts";

/** Makes the entries of a directory durable, and those of each directory above it up to the root. */
export async function syncDirectories(root: string, directory: string): Promise<void> {
  for (let path = directory; ; path = dirname(path)) {
    const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
    await handle.sync().finally(() => handle.close());
    if (path === root || path === dirname(path)) return;
  }
}

/** Removes a file durably, and directories below the root that become empty. Idempotent. */
export async function removeFile(root: string, path: string): Promise<void> {
  await unlink(path).catch(ignoring("ENOENT"));
  let directory = dirname(path);
  while (directory !== root && (await isNowRemoved(directory))) directory = dirname(directory);
  // Another operation may have pruned it in the meantime.
  await syncDirectories(root, directory).catch(ignoring("ENOENT"));
}

async function isNowRemoved(directory: string): Promise<boolean> {
  try {
    await rmdir(directory);
    return true;
  } catch (error) {
    const code = codeOf(error);
    if (code === "ENOENT") return true;
    if (code === "ENOTEMPTY" || code === "EEXIST") return false;
    throw error;
  }
}

interface Meaning {
  message: string;
  hint?: (root: string) => string;
}

const MEANINGS: Record<string, Meaning> = {
  ENOENT: { message: "no such object" },
  ENOSPC: {
    message: "no space left on the disk",
    hint: (root) => `free space on the file system of ${root}`,
  },
  EDQUOT: { message: "the disk quota is used up", hint: (root) => `raise the quota for ${root}` },
  EACCES: { message: "permission denied", hint: (root) => `give pg321's user write access to ${root}` },
  EPERM: {
    message: "not permitted",
    hint: (root) =>
      `${root} needs a file system with hard links (ext4, xfs, btrfs, zfs) and no immutable flag`,
  },
  EROFS: {
    message: "the file system is read-only",
    hint: (root) => `check the kernel log for disk errors, then remount ${root} for writing`,
  },
  EIO: {
    message: "input/output error",
    hint: () => "the disk may be failing: check the kernel log, and replace the disk if it shows errors",
  },
  ELOOP: { message: "refused: it is a symbolic link" },
  EISDIR: { message: "a directory is in the place of the object" },
  ENOTDIR: { message: "a file is in the place of a directory" },
  ENAMETOOLONG: { message: "the path is too long" },
};

/** Converts an error of the file system to one of the storage contract; returns any other error unchanged. */
export function localError(storage: string, what: string, error: unknown, root: string): unknown {
  const code = codeOf(error);
  if (error instanceof Pg321Error || code === undefined) return error;
  const meaning = MEANINGS[code];
  const hint = meaning?.hint?.(root);
  return new Pg321Error("storage", `storage "${storage}": ${what}: ${meaning?.message ?? code}`, {
    ...(hint === undefined ? {} : { hint }),
    cause: error,
  });
}
