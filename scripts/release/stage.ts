import { chmod, lutimes, mkdir, readdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { PackagedFile } from "./contents.ts";

/** Writes files below a directory, with modes and times that do not depend on this host. */
export async function stage(directory: string, files: readonly PackagedFile[], epoch: number): Promise<void> {
  for (const { path, mode, content } of files) {
    const file = join(directory, path);
    await mkdir(dirname(file), { recursive: true });
    if (typeof content === "string" || content instanceof Uint8Array) await writeFile(file, content);
    else await Bun.write(file, content);
    await chmod(file, mode);
  }
  await settle(directory, epoch);
}

async function settle(directory: string, epoch: number): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) await settle(path, epoch);
    else await lutimes(path, epoch, epoch);
  }
  await chmod(directory, 0o755);
  await lutimes(directory, epoch, epoch);
}
