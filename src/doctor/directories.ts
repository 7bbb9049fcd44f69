import { constants } from "node:fs";
import { access, realpath, stat, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { mountOf, readMountinfo } from "../base/files/mounts.ts";
import { requireAnswer } from "../base/files/place.ts";
import { MIB } from "../base/limits.ts";
import { userName } from "../base/process/become-user.ts";
import { sizeText } from "../base/text/amounts.ts";
import { shellQuoted } from "../base/text/shell.ts";
import type { Seen } from "./finding.ts";
import { failed, ok, warning } from "./finding.ts";

/** With less than this the disk is soon full: the catalog and its copies grow. */
const FREE_BYTES_MIN = 100 * MIB;
/** File systems without hard links, which give a finished copy its name. */
const WITHOUT_LINKS = ["vfat", "exfat", "msdos"];

/** The mount that a path lies on, and its free space. */
export interface Place {
  freeBytes: number;
  mountPoint: string;
  fileSystem: string;
}

/** Checks `state_dir` or `temp_dir`, which the first command creates if it does not exist. */
export async function lookAtOwnDirectory(path: string): Promise<Seen[]> {
  await requireAnswer(path, path);
  const stats = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (!stats) {
    const parent = await nearest(dirname(path));
    if (await isWritable(parent))
      return [ok("does not exist yet: the first command that needs it creates it")];
    return [
      failed(
        "storage",
        `does not exist, and user "${userName()}" cannot create it in ${parent}`,
        makeIt(path),
      ),
    ];
  }
  if (!stats.isDirectory())
    return [failed("storage", "not a directory", "name a directory in the config, or move the file away")];
  if (!(await isWritable(path)))
    return [failed("storage", `user "${userName()}" cannot write to it`, makeIt(path))];
  const place = await placeOf(path);
  const seen = [
    place.freeBytes < FREE_BYTES_MIN ? warning(placeText(place), "free some space") : ok(placeText(place)),
  ];
  if ((stats.mode & 0o007) !== 0)
    seen.push(warning("every user of this host has access to it", `chmod 0700 ${shellQuoted(path)}`));
  return seen;
}

/** Checks the directory of a local storage. pg321 never creates it: a missing one may be a disk that is not mounted. */
export async function lookAtStorageDirectory(path: string, minFree: number): Promise<Seen[]> {
  await requireAnswer(path, path);
  if (!(await isWritable(path)))
    return [
      failed(
        "storage",
        `user "${userName()}" cannot write to ${path}`,
        `chown ${userName()} ${shellQuoted(path)}`,
      ),
    ];
  const place = await placeOf(path);
  if (WITHOUT_LINKS.includes(place.fileSystem)) {
    const hint = "use a file system with hard links: ext4, xfs, btrfs, zfs";
    return [failed("storage", `${place.fileSystem} on ${place.mountPoint} has no hard links`, hint)];
  }
  if (place.freeBytes < minFree) {
    const hint = "free some space, shorten keep, or lower min_free";
    return [failed("storage", `${placeText(place)}, but min_free is ${sizeText(minFree)}`, hint)];
  }
  return [ok(`${path} is writable, ${placeText(place)}`)];
}

async function isWritable(path: string): Promise<boolean> {
  return access(path, constants.R_OK | constants.W_OK | constants.X_OK).then(
    () => true,
    () => false,
  );
}

async function placeOf(path: string): Promise<Place> {
  const { bavail, bsize } = await statfs(path);
  const mount = mountOf(await realpath(path), await readMountinfo());
  return {
    freeBytes: bavail * bsize,
    mountPoint: mount?.point ?? "/",
    fileSystem: mount?.fileSystem ?? "unknown",
  };
}

function placeText({ freeBytes, mountPoint, fileSystem }: Place): string {
  return `${sizeText(freeBytes)} free on ${mountPoint} (${fileSystem})`;
}

async function nearest(path: string): Promise<string> {
  const isThere = await stat(path).then(
    () => true,
    () => false,
  );
  return isThere || path === dirname(path) ? path : nearest(dirname(path));
}

function makeIt(path: string): string {
  return `install -d -m 0700 -o ${userName()} ${shellQuoted(path)}`;
}
