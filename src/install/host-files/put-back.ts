import { constants } from "node:fs";
import { link, lstat, mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { Pg321Error } from "../../base/errors.ts";
import { isRoot } from "../../base/process/become-user.ts";
import { DEFAULT_STATE_DIR } from "../../config/config.ts";
import { makeAccount, SERVICE_USER } from "../host.ts";
import type { InstallSteps } from "../steps.ts";
import type { BundledFile } from "./bundle.ts";
import { idsOf, ownerText } from "./owners.ts";
import type { Rights } from "./survey.ts";

export interface PutBackOptions {
  /** Replaces files that differ; the old ones stay beside them. */
  replaces: boolean;
  /** Ends the names of the files that were replaced. */
  stamp: string;
  /** Contents that nobody wrote by hand: the config that `install` leaves. */
  untouched: readonly string[];
}

/**
 * Writes the files of a bundle with their owners and modes, each whole or not at all. A file that is there already
 * with other contents is an obstacle, unless it may be replaced: then it is kept under another name. Whoever is
 * not root writes them as its own. Throws code `usage` before anything is changed.
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
      `nothing was written: ${paths.length === 1 ? "a file is" : `${paths.length} files are`} here already with other contents: ${paths.join(", ")}`,
      { hint: "compare them; --replace writes those of the export, and keeps the old ones beside them" },
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
    // A symlink that leads nowhere is there, too.
    if (code === "ENOENT") return (await lstat(path).catch(() => undefined)) ? "different" : "absent";
    if (code === "EISDIR") return "different";
    throw new Pg321Error("usage", `${path}: cannot be compared (${code})`, { hint: "run it with sudo" });
  }
}

/** The service's account is made; any other owner must be there. */
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
    return steps.note("attention", path, "here already with other contents; only --replace would write it");
  const kept = found === "different" ? `${path}.replaced-${stamp}` : undefined;
  const how = kept === undefined ? "written" : `written, the old one is ${kept}`;
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

/** By the open file: its name may lead elsewhere by now. */
async function giveRights(path: string, rights: Rights, flags = constants.O_NOFOLLOW): Promise<void> {
  await using opened = await open(path, constants.O_RDONLY | flags);
  const { uid, gid } = idsOf(rights);
  if (isRoot()) await opened.chown(uid, gid);
  await opened.chmod(rights.mode);
}

/** With those above it, which are as any directory of the system; one that is there stays as it is. */
async function makeDirectory(path: string, rights: Rights | undefined): Promise<void> {
  if (await stat(path).catch(() => undefined)) return;
  await makeDirectory(dirname(path), undefined);
  await mkdir(path, { mode: 0o700 });
  if (rights !== undefined) return giveRights(path, rights, constants.O_NOFOLLOW | constants.O_DIRECTORY);
  await using opened = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_DIRECTORY);
  await opened.chmod(0o755);
}

/** `inPlaceOf`: there is another one, which goes on under the name `kept`, if there is one. */
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
    // Without another one: fails rather than to replace what has appeared meanwhile.
    if (inPlaceOf === undefined) await link(temporary, path);
    else await rename(temporary, path);
    await using opened = await open(directory);
    await opened.sync();
  } finally {
    await rm(temporary, { force: true });
  }
}
