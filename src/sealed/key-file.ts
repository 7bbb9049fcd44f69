import { randomBytes } from "node:crypto";
import { link, lstat, open, readdir, readFile, realpath, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { messageOf, Pg321Error } from "../base/errors.ts";
import { makerOfTag, processTag } from "../base/files/private-files.ts";
import { isRoot } from "../base/process/become-user.ts";
import { fateOf } from "../base/process/identity.ts";

/**
 * Writes a key file, mode 0600, whole or not at all, and returns when it is on disk. A file that root writes into
 * another user's directory is given to that user, such as the service's signing key. Never replaces a file, which
 * could be the only key of somebody's backups. Throws code `key`.
 */
export async function writeKeyFile(path: string, text: string): Promise<void> {
  const directory = dirname(path);
  const temporary = temporaryBeside(path);
  await sweepKeyFile(path);
  try {
    await writeDurably(temporary, text, await ownerFor(directory));
    await link(temporary, path);
  } catch (cause) {
    throw notWritten(path, cause);
  } finally {
    await rm(temporary, { force: true });
  }
  await syncDirectory(directory);
}

/**
 * Replaces a key file by `text`, which must contain all that was in it, and returns when that is on disk. Owner and mode
 * stay. At every moment, even after a crash, the path leads to the old text or to the new one, whole. Throws code `key`
 * if the file no longer has the text `before`: another program has changed it.
 */
export async function replaceKeyFile(path: string, before: string, text: string): Promise<void> {
  let temporary: string | undefined;
  try {
    // The file behind a symbolic link is replaced, not the link.
    const real = await realpath(path);
    const { uid, gid, mode } = await stat(real);
    temporary = temporaryBeside(real);
    await writeDurably(temporary, text, isRoot() ? { uid, gid } : undefined, mode & 0o777);
    if ((await readFile(temporary, "utf8")) !== text) throw new Error("the new text could not be read back");
    if ((await readFile(real, "utf8")) !== before)
      throw new Pg321Error("key", `key file ${path}: has been changed meanwhile; nothing was written`, {
        hint: "run the command again",
      });
    await rename(temporary, real);
    await syncDirectory(dirname(real));
  } catch (cause) {
    throw cause instanceof Pg321Error ? cause : notWritten(path, cause);
  } finally {
    if (temporary !== undefined) await rm(temporary, { force: true });
  }
}

/**
 * Runs `work` while no other process changes this key file in the same way. The lock is a file beside it, which names
 * its process; that of a dead process is replaced. Throws code `key` if the process lives, or may live.
 */
export async function withKeyFileLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  const real = await realpath(path).catch(() => path);
  const lock = join(dirname(real), `.${basename(real)}.lock`);
  try {
    await takeLock(path, lock);
  } catch (cause) {
    throw cause instanceof Pg321Error ? cause : notWritten(path, cause);
  }
  try {
    await sweepKeyFile(real);
    return await work();
  } finally {
    await rm(lock, { force: true });
  }
}

async function takeLock(path: string, lock: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const temporary = `${lock}.${temporaryEnd()}`;
    try {
      // A lock appears with its content, so that nobody reads an empty one.
      await writeDurably(temporary, processTag(), undefined);
      return await link(temporary, lock);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      const maker = makerOfTag(await readFile(lock, "utf8").catch(() => ""));
      if (attempt > 1 || maker === undefined || fateOf(maker) !== "dead")
        throw new Pg321Error("key", `key file ${path}: another command is changing it`, {
          hint: `wait for it to end; if there is none, remove ${lock}`,
          cause: error,
        });
      await rm(lock, { force: true });
    } finally {
      await rm(temporary, { force: true });
    }
  }
}

/** The owner of a new file that root writes into another user's directory. */
async function ownerFor(directory: string): Promise<{ uid: number; gid: number } | undefined> {
  if (!isRoot()) return undefined;
  const { uid, gid } = await stat(directory);
  return uid === 0 ? undefined : { uid, gid };
}

function temporaryBeside(path: string): string {
  return join(dirname(path), `.${basename(path)}.${temporaryEnd()}`);
}

/** Names this process, so that another one can tell whether the file is still in use. */
function temporaryEnd(): string {
  return `${processTag()}.${randomBytes(RANDOM_BYTES).toString("hex")}.tmp`;
}

const RANDOM_BYTES = 6;
const TEMPORARY = new RegExp(`^(.*)\\.[0-9a-f]{${2 * RANDOM_BYTES}}\\.tmp$`);

/**
 * Removes the temporary files that killed processes left beside this key file; they may hold an identity. Only those with
 * the name of a process that is dead for certain. One that cannot be removed stays, and nothing is thrown.
 */
export async function sweepKeyFile(path: string): Promise<void> {
  const real = await realpath(path).catch(() => path);
  const directory = dirname(real);
  const owners = [process.geteuid?.(), (await stat(real).catch(() => undefined))?.uid];
  for (const name of await readdir(directory).catch(() => []))
    for (const start of [`.${basename(real)}.`, `.${basename(real)}.lock.`]) {
      const tag = name.startsWith(start) ? TEMPORARY.exec(name.slice(start.length))?.[1] : undefined;
      const maker = tag === undefined ? undefined : makerOfTag(tag);
      if (maker === undefined || fateOf(maker) !== "dead") continue;
      const file = join(directory, name);
      const stats = await lstat(file).catch(() => undefined);
      if (stats?.isFile() && owners.includes(stats.uid)) await rm(file, { force: true }).catch(() => {});
    }
}

async function writeDurably(
  path: string,
  text: string,
  owner: { uid: number; gid: number } | undefined,
  mode = 0o600,
): Promise<void> {
  await using file = await open(path, "wx", 0o600);
  if (owner) await file.chown(owner.uid, owner.gid);
  // After the owner: the secret is not there yet, and a change of owner may reset bits.
  if (mode !== 0o600) await file.chmod(mode);
  await file.writeFile(text);
  await file.sync();
}

async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path, "r");
  await directory.sync();
}

function notWritten(path: string, cause: unknown): Pg321Error {
  if (cause instanceof Error && "code" in cause && cause.code === "EEXIST") {
    return new Pg321Error("key", `key file ${path}: exists, and is never replaced`, {
      hint: "choose another path, or move the old file away and keep it: backups may need it",
      cause,
    });
  }
  return new Pg321Error("key", `key file ${path}: cannot be written: ${messageOf(cause)}`, {
    hint: "its directory must exist and be writable",
    cause,
  });
}
