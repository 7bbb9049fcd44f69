import { mkdir, open, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import type { ProcessIdentity } from "../../base/process/identity.ts";
import { fateOf, processIdentity } from "../../base/process/identity.ts";

/**
 * A file for each pause of a standby's replay, written before the pause and removed after it, so that a pause whose process
 * was killed is found and ended. Not in the catalog: `ExecStopPost` must find it even if the catalog cannot be opened.
 */
export interface PauseFile {
  path: string;
  server: string;
  /** Whether the process that paused still lives, or may live where it cannot be seen. */
  isHeld: boolean;
}

const schema = v.object({
  server: v.string(),
  process: v.object({
    pid: v.number(),
    pid_start: v.nullable(v.number()),
    host_id: v.nullable(v.string()),
    boot_id: v.nullable(v.string()),
    pid_namespace: v.nullable(v.string()),
  }),
});

const directoryIn = (stateDir: string) => join(stateDir, "paused-replay");

/** Returns the path of the file. */
export async function addPauseFile(stateDir: string, server: string): Promise<string> {
  const directory = directoryIn(stateDir);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, `${server}.${crypto.randomUUID()}.json`);
  const process: ProcessIdentity = processIdentity();
  await using file = await open(path, "wx", 0o600);
  await file.writeFile(JSON.stringify({ server, process }));
  await file.sync();
  return path;
}

export function removePauseFile(path: string): Promise<void> {
  return rm(path, { force: true });
}

/** All files that can be read, in no order. A file that is none of ours is left alone. */
export async function pauseFiles(stateDir: string): Promise<PauseFile[]> {
  const names = await readdir(directoryIn(stateDir)).catch(() => []);
  const files = await Promise.all(names.map((name) => pauseFile(join(directoryIn(stateDir), name))));
  return files.filter((file) => file !== undefined);
}

async function pauseFile(path: string): Promise<PauseFile | undefined> {
  try {
    const { server, process } = v.parse(schema, JSON.parse(await readFile(path, "utf8")));
    return { path, server, isHeld: fateOf(process) !== "dead" };
  } catch {
    return undefined;
  }
}
