import { constants } from "node:fs";
import { link, lstat, mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { Pg321Error } from "../../base/errors.ts";
import { isRoot } from "../../base/process/become-user.ts";
import { idsOf, ownerText } from "../../base/process/owners.ts";
import { DEFAULT_STATE_DIR } from "../../config/config.ts";
import { makeAccount, SERVICE_USER } from "../host.ts";
import type { InstallSteps } from "../steps.ts";
import type { BundledFile } from "./bundle.ts";
import type { Rights } from "./survey.ts";

export interface PutBackOptions {
  /** Replaces files that differ; the old ones stay beside them. */
  replaces: boolean;
  /** The end of the names of replaced files. */
  stamp: string;
  /** Contents that nobody wrote by hand: the example config that `install` writes. */
  untouched: readonly string[];
}

/**
 * Writes the files of a bundle with their owners and modes, each completely or not at all. An existing file with other
 * contents prevents this, unless it may be replaced: then it is kept under another name. Without root's rights the files
 * belong to the current user. Throws code `usage` before anything is changed.
 */
export async function putBack(
  steps: InstallSteps,
  files: readonly BundledFile[],
  options: PutBackOptions,
): Promise<void> {
  const found = await Promise.all(files.map((file) => foundAt(file, options)));
  const differing = files.filter((_, index) => found[index] === "different");
  if (differing.length > 0 && !options.replaces && !steps.isDryRun) {
    const paths = differing.map(({ path }) => path);
    throw new Pg321Error(
      "usage",
      `nothing was written: ${paths.length === 1 ? "a file is" : `${paths.length} files are`} already here with other contents: ${paths.join(", ")}`,
      { hint: "compare them; --replace writes the exported files and keeps the old ones beside them" },
    );
  }
  await requireOwners(steps, files);
  for (const [index, file] of files.entries()) await putOne(steps, file, found[index], options);
}

type Found = "absent" | "same" | "untouched" | "different";

async function foundAt({ path, content }: BundledFile, { untouched }: PutBackOptions): Promise<Found> {
  try {
    const there = await readFile(path);
    if (there.equals(content)) return "same";
    return untouched.includes(there.toString()) ? "untouched" : "different";
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // A dangling symlink exists too.
    if (code === "ENOENT") return (await lstat(path).catch(() => undefined)) ? "different" : "absent";
    if (code === "EISDIR") return "different";
    throw new Pg321Error("usage", `${path}: cannot be compared (${code})`, { hint: "run it with sudo" });
  }
}

/** Creates the service's account if needed; any other owner must exist. */
async function requireOwners(steps: InstallSteps, files: readonly BundledFile[]): Promise<void> {
  if (!isRoot()) return;
  const rights = files.flatMap((file) => [file, file.directory]);
  const unknown = () => [...new Set(rights.flatMap((one) => idsOf(one).unknown))];
  const isServices = (name: string) => name.endsWith(` ${SERVICE_USER}`);
  if (unknown().some(isServices))
    await steps.change(`user ${SERVICE_USER}`, "system user and group, no login", () =>
      makeAccount(DEFAULT_STATE_DIR),
    );
  const missing = unknown().filter((name) => !isServices(name));
  if (missing.length === 0) return;
  throw new Pg321Error("usage", `no file was written: this host has no ${missing.join(", no ")}`, {
    hint: "create it as on the old host, then run this again",
  });
}

async function putOne(
  steps: InstallSteps,
  file: BundledFile,
  found: Found | undefined,
  { replaces, stamp }: PutBackOptions,
): Promise<void> {
  const { path } = file;
  const rights = isRoot() ? ownerText(file, file.mode) : `yours, ${ownerText(file, file.mode).split(" ")[1]}`;
  if (found === "same") {
    if (await hasRights(file)) return steps.note("right", path, rights);
    return steps.change(path, `owner and mode: ${rights}`, () => giveRights(path, file));
  }
  if (found === "different" && !replaces)
    return steps.note(
      "attention",
      path,
      "already here with other contents; only --replace would overwrite it",
    );
  const kept = found === "different" ? `${path}.replaced-${stamp}` : undefined;
  const how = kept === undefined ? "written" : `written, the old file is now ${kept}`;
  await steps.change(path, `${how}, ${rights}`, async () => {
    await makeDirectory(dirname(path), file.directory);
    await write(file, found === "absent" ? undefined : { kept });
  });
}

async function hasRights(file: BundledFile): Promise<boolean> {
  const stats = await stat(file.path);
  if ((stats.mode & 0o7777) !== file.mode) return false;
  const { uid, gid } = idsOf(file);
  return !isRoot() || (stats.uid === uid && stats.gid === gid);
}

/** Sets owner and mode through the open file: its name may lead to another file by now. */
async function giveRights(path: string, rights: Rights, flags = constants.O_NOFOLLOW): Promise<void> {
  await using opened = await open(path, constants.O_RDONLY | flags);
  const { uid, gid } = idsOf(rights);
  if (isRoot()) await opened.chown(uid, gid);
  await opened.chmod(rights.mode);
}

/** Creates a directory, and missing ones above it with mode 0755. Existing ones stay unchanged. */
async function makeDirectory(path: string, rights: Rights | undefined): Promise<void> {
  if (await stat(path).catch(() => undefined)) return;
  await makeDirectory(dirname(path), undefined);
  await mkdir(path, { mode: 0o700 });
  if (rights !== undefined) return giveRights(path, rights, constants.O_NOFOLLOW | constants.O_DIRECTORY);
  await using opened = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_DIRECTORY);
  await opened.chmod(0o755);
}

/** `inPlaceOf`: a file exists there, which is kept under the name `kept`, if given. */
async function write(file: BundledFile, inPlaceOf: { kept: string | undefined } | undefined): Promise<void> {
  const { path, content, mode } = file;
  const directory = dirname(path);
  const temporary = join(directory, `.${basename(path)}.${crypto.randomUUID()}`);
  try {
    {
      await using opened = await open(temporary, "wx", 0o600);
      const { uid, gid } = idsOf(file);
      if (isRoot()) await opened.chown(uid, gid);
      await opened.chmod(mode);
      await opened.writeFile(content);
      await opened.sync();
    }
    if (inPlaceOf?.kept !== undefined) await link(path, inPlaceOf.kept);
    // If there was no file: fail instead of replacing one that has appeared in the meantime.
    if (inPlaceOf === undefined) await link(temporary, path);
    else await rename(temporary, path);
    await using opened = await open(directory);
    await opened.sync();
  } finally {
    await rm(temporary, { force: true });
  }
}
