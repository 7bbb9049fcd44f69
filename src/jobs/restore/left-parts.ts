import { lstat, readdir, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { isInUse, makerOfTag, processTag } from "../../base/files/private-files.ts";

const END = ".part";

/** Where this process writes what is to have this path once it is whole. */
export function partPath(path: string): string {
  return `${startOf(path)}${processTag()}${END}`;
}

/** Removes the partial files, or directories, of killed processes for this path: plain rows must not stay on disk. */
export async function removeLeftParts(path: string, kind: "file" | "directory"): Promise<void> {
  const isDirectory = kind === "directory";
  const start = startOf(basename(path));
  for (const name of await readdir(dirname(path))) {
    if (!name.startsWith(start) || !name.endsWith(END)) continue;
    const maker = makerOfTag(name.slice(start.length, -END.length));
    if (maker === undefined) continue;
    const left = join(dirname(path), name);
    const stats = await lstat(left).catch(() => undefined);
    if (!stats || !(isDirectory ? stats.isDirectory() : stats.isFile())) continue;
    if (stats.uid !== process.geteuid?.() || isInUse(maker, stats.mtimeMs)) continue;
    await rm(left, { recursive: isDirectory, force: true });
  }
}

function startOf(path: string): string {
  return `${path}.pg321-`;
}
