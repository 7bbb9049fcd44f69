import { mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { ignoring } from "../../base/files/missing.ts";
import type { ProcessIdentity } from "../../base/process/identity.ts";
import { fateOf, isSameProcess, processIdentity } from "../../base/process/identity.ts";

/**
 * A file for each pause of a standby's replay, written before the pause and removed after it, so that a pause whose process
 * was killed is found and ended. Not in the catalog: `ExecStopPost` must find it even if the catalog cannot be opened.
 */
export interface PauseFile {
  path: string;
  server: string;
  /** Whether a dump may still need the pause. */
  isHeld: boolean;
}

/** The pauses that this process needs, by path. */
const inForce = new Set<string>();
/** The owner of a pause that cannot be seen from here (in another container) has ended it by then. */
const UNSEEN_MARGIN_MS = 600_000;
const ENDED = ".ended.json";

const fileSchema = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({
    server: v.string(),
    /** When the owner resumes the replay at the latest, in ms since 1970. */
    until_ms: v.number(),
    process: v.object({
      pid: v.number(),
      pid_start: v.nullable(v.number()),
      host_id: v.nullable(v.string()),
      boot_id: v.nullable(v.string()),
      pid_namespace: v.nullable(v.string()),
    }),
  }),
);

const directoryIn = (stateDir: string) => join(stateDir, "paused-replay");

/** Returns the path of the file. */
export async function addPauseFile(stateDir: string, server: string, until: Date): Promise<string> {
  const directory = directoryIn(stateDir);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, `${server}.${crypto.randomUUID()}.json`);
  const process: ProcessIdentity = processIdentity();
  await using file = await open(path, "wx", 0o600);
  await file.writeFile(JSON.stringify({ server, until_ms: until.getTime(), process }));
  await file.sync();
  inForce.add(path);
  return path;
}

/**
 * Says to every process that this pause is not needed any more, before the others are looked at: of two that end at the
 * same time, at least one sees that no pause is left. Returns the file's new path.
 */
export async function markEnded(path: string): Promise<string> {
  inForce.delete(path);
  if (path.endsWith(ENDED)) return path;
  const ended = path.replace(/\.json$/, ENDED);
  try {
    await rename(path, ended);
    return ended;
  } catch {
    // The disk takes nothing: the replay is resumed all the same.
    return path;
  }
}

export function removePauseFile(path: string): Promise<void> {
  return rm(path, { force: true });
}

/**
 * All files, in no order. A file that is none of ours is left alone. Throws if the directory or a file cannot be read: a
 * pause that cannot be seen must not count as none.
 */
export async function pauseFiles(stateDir: string, now: Date): Promise<PauseFile[]> {
  const names = (await readdir(directoryIn(stateDir)).catch(ignoring("ENOENT"))) ?? [];
  const files = await Promise.all(names.map((name) => pauseFile(join(directoryIn(stateDir), name), now)));
  return files.filter((file) => file !== undefined);
}

async function pauseFile(path: string, now: Date): Promise<PauseFile | undefined> {
  // Another process may just have ended the pause.
  const text = await readFile(path, "utf8").catch(ignoring("ENOENT"));
  const parsed = v.safeParse(fileSchema, text);
  if (!parsed.success) return undefined;
  const { server, process, until_ms } = parsed.output;
  return { path, server, isHeld: !path.endsWith(ENDED) && isNeeded(path, process, until_ms, now) };
}

function isNeeded(path: string, owner: ProcessIdentity, untilMs: number, now: Date): boolean {
  if (isSameProcess(owner, processIdentity())) return inForce.has(path);
  const fate = fateOf(owner);
  return fate === "unseen" ? now.getTime() < untilMs + UNSEEN_MARGIN_MS : fate === "alive";
}
