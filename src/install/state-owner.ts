import { chown, mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { messageOf, Pg321Error } from "../base/errors.ts";
import { requireAnswer } from "../base/files/place.ts";
import type { Log } from "../base/log.ts";
import type { Account } from "../base/process/become-user.ts";
import { becomeUser, findAccount, isRoot } from "../base/process/become-user.ts";
import { DEFAULT_STATE_DIR } from "../config/config.ts";

/** The state directory and user of `pg321 install`. */
const INSTALLED = { stateDir: DEFAULT_STATE_DIR, user: "pg321" };

/**
 * If run as root: switches for good to the owner of `state_dir`, so that no file in catalog or storages ends up
 * unwritable for the service. Files that only root can read must be read before.
 */
export async function becomeStateOwner(stateDir: string, log: Log): Promise<void> {
  await requireAnswer(`state_dir ${stateDir}`, stateDir);
  if (!isRoot()) return;
  const owner = await stateOwner(stateDir);
  if (!owner) return;
  becomeUser(owner);
  log.debug("switched from root to the owner of state_dir", {
    user: owner.name ?? owner.uid,
    state_dir: stateDir,
  });
}

/**
 * The user that root switches to: the owner of `stateDir`, or of the nearest existing directory above it. Undefined
 * if that is root. The state directory of an installation is created for its user if it is missing. Throws code
 * `storage`.
 */
export async function stateOwner(stateDir: string, installed = INSTALLED): Promise<Account | undefined> {
  try {
    const owner = await ownerOf(stateDir);
    if (owner || stateDir !== installed.stateDir) return owner;
    const account = findAccount(installed.user);
    if (!account || (await isThere(stateDir))) return undefined;
    await mkdir(stateDir, { mode: 0o700 });
    await chown(stateDir, account.uid, account.gid);
    return account;
  } catch (cause) {
    throw new Pg321Error("storage", `state_dir ${stateDir}: ${messageOf(cause)}`, {
      hint: "it must be a directory that belongs to the user that pg321 runs as",
      cause,
    });
  }
}

/** The owner of a path, or of the nearest existing one above it; undefined for root. */
async function ownerOf(path: string): Promise<Account | undefined> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" && dirname(path) !== path) return undefined;
    throw error;
  });
  if (!found) return ownerOf(dirname(path));
  if (found.uid === 0) return undefined;
  return findAccount(found.uid) ?? { uid: found.uid, gid: found.gid, name: undefined, home: undefined };
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
