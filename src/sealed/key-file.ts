import { randomBytes } from "node:crypto";
import { link, open, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { messageOf, Pg321Error } from "../base/errors.ts";
import { isRoot } from "../base/process/become-user.ts";

/**
 * Writes a key file, mode 0600, whole or not at all, and returns when it is on disk. A file that root writes into
 * another user's directory is given to that user, such as the service's signing key. Never replaces a file, which
 * could be the only key of somebody's backups. Throws code `key`.
 */
export async function writeKeyFile(path: string, text: string): Promise<void> {
  const directory = dirname(path);
  const temporary = join(directory, `.${basename(path)}.${randomBytes(6).toString("hex")}.tmp`);
  try {
    await writeDurably(temporary, text, isRoot() ? await stat(directory) : undefined);
    await link(temporary, path);
  } catch (cause) {
    throw notWritten(path, cause);
  } finally {
    await rm(temporary, { force: true });
  }
  await syncDirectory(directory);
}

async function writeDurably(
  path: string,
  text: string,
  owner: { uid: number; gid: number } | undefined,
): Promise<void> {
  await using file = await open(path, "wx", 0o600);
  if (owner && owner.uid !== 0) await file.chown(owner.uid, owner.gid);
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
