import { createReadStream, type Stats } from "node:fs";
import {
  chmod,
  chown,
  copyFile,
  link,
  lstat,
  mkdir,
  open,
  readFile,
  rename,
  rm,
  stat,
} from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { InstallSteps } from "./steps.ts";

/** Owner and mode of a file. The ids are undefined in a dry run while the account does not exist. */
export interface Ownership {
  /** For display: `root:pg321`. */
  name: string;
  uid: number | undefined;
  gid: number | undefined;
  mode: number;
}

export const ROOT = { name: "root:root", uid: 0, gid: 0 } as const;

export function rightsText({ name, mode }: Pick<Ownership, "name" | "mode">): string {
  return `${name} ${mode.toString(8).padStart(4, "0")}`;
}

function hasRights(stats: Stats, { uid, gid, mode }: Ownership): boolean {
  return stats.uid === uid && stats.gid === gid && (stats.mode & 0o7777) === mode;
}

/** Creates a directory of ours, or corrects its owner and mode. */
export async function ensureDirectory(steps: InstallSteps, path: string, owner: Ownership): Promise<void> {
  // A symlink to another disk is fine.
  const stats = await statsOf(path, stat);
  const rights = rightsText(owner);
  const own = async () => {
    await chown(path, owner.uid ?? 0, owner.gid ?? 0);
    await chmod(path, owner.mode);
  };
  if (stats === undefined) {
    return steps.change(path, `directory, ${rights}`, async () => {
      await mkdirBelow(path);
      await own();
    });
  }
  if (hasRights(stats, owner)) return steps.note("right", path, rights);
  return steps.change(path, `owner and mode: ${rights}`, own);
}

/** Creates it with mode 0700, and every missing directory above it with 0755, whatever the umask. */
export async function mkdirBelow(path: string): Promise<void> {
  const parent = dirname(path);
  if ((await statsOf(parent)) === undefined) {
    await mkdirBelow(parent);
    await chmod(parent, 0o755);
  }
  await mkdir(path, { mode: 0o700 });
}

/** Writes a file of ours, or corrects its owner and mode. It is written whole under another name first. */
export async function ensureFile(
  steps: InstallSteps,
  path: string,
  text: string,
  owner: Ownership,
): Promise<void> {
  const stats = await statsOf(path);
  const isSame = stats?.isFile() === true && (await readFile(path, "utf8")) === text;
  const isOwned = stats !== undefined && hasRights(stats, owner);
  if (isSame && isOwned) return steps.note("right", path, rightsText(owner));
  const detail = stats === undefined ? "written" : isSame ? "owner and mode" : "replaced";
  await steps.change(path, `${detail}, ${rightsText(owner)}`, async () => {
    if ((await statsOf(dirname(path), stat)) === undefined) await mkdirBelow(dirname(path));
    await chmod(dirname(path), 0o755);
    await replaceBy(path, owner, (temporary) => Bun.write(temporary, text));
  });
}

/** Makes a new file beside `path`, then moves it there: processes that have the old file open keep the old one. */
export async function replaceBy(
  path: string,
  owner: Ownership,
  make: (temporary: string) => Promise<unknown>,
  put: (temporary: string, path: string) => Promise<void> = rename,
): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${crypto.randomUUID()}`);
  try {
    await make(temporary);
    await chown(temporary, owner.uid ?? 0, owner.gid ?? 0);
    await chmod(temporary, owner.mode);
    await sync(temporary);
    await put(temporary, path);
    await sync(dirname(path));
  } finally {
    await rm(temporary, { force: true });
  }
}

/** Fails with `EEXIST` instead of replacing a file. */
export const putNew = (temporary: string, path: string): Promise<void> => link(temporary, path);

async function sync(path: string): Promise<void> {
  await using file = await open(path);
  await file.sync();
}

/** The executable of this process, even if its file was replaced in the meantime. */
const RUNNING_EXECUTABLE = "/proc/self/exe";

export async function isRunningExecutable(path: string): Promise<boolean> {
  const stats = await statsOf(path);
  if (!stats?.isFile() || stats.uid !== 0 || (stats.mode & 0o7777) !== 0o755) return false;
  return (await digest(path)) === (await digest(RUNNING_EXECUTABLE));
}

export function placeRunningExecutable(path: string): Promise<void> {
  return replaceBy(path, { ...ROOT, mode: 0o755 }, (temporary) => copyFile(RUNNING_EXECUTABLE, temporary));
}

async function digest(path: string): Promise<string> {
  const hash = new Bun.CryptoHasher("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return hash.digest("hex");
}

/** The stats of a path, or undefined if it does not exist. Symlinks are not followed unless `ask` is `stat`. */
export async function statsOf(path: string, ask: (path: string) => Promise<Stats> = lstat) {
  try {
    return await ask(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
