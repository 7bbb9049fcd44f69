import { mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import * as v from "valibot";
import { messageOf, Pg321Error } from "../../base/errors.ts";
import { ignoring } from "../../base/files/missing.ts";
import type { ProcessIdentity } from "../../base/process/identity.ts";
import { fateOf, isSameProcess, processIdentity } from "../../base/process/identity.ts";
import { shellQuoted } from "../../base/text/shell.ts";

/**
 * A file for each pause of a standby's replay, written before the pause and removed after it, so that a pause whose process
 * was killed is found and ended. Not in the catalog: `ExecStopPost` must find it even if the catalog cannot be opened.
 */
export interface PauseFile {
  path: string;
  server: string;
  /** Whether a dump may still need the pause. */
  isHeld: boolean;
  /** Why the file cannot be read: then it is not known whether a dump needs the pause. */
  problem?: string;
}

/** The pauses that this process needs, by path. */
const inForce = new Set<string>();
/** The owner of a pause that cannot be seen from here (in another container) has ended it by then. */
const UNSEEN_MARGIN_MS = 600_000;
const ENDED = ".ended.json";
/** The name of a file begins with that of its server, which has no dot. */
const FILE_NAME = /^([^.]+)\.[0-9a-f-]{36}(\.ended)?\.json$/;

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
 * All files, in no order. A file that is none of ours is left alone. One that cannot be read counts as a pause of its
 * server, so that those of others can be ended. Throws if the directory cannot be read: a pause that cannot be seen must
 * not count as none.
 */
export async function pauseFiles(stateDir: string, now: Date): Promise<PauseFile[]> {
  const names = (await readdir(directoryIn(stateDir)).catch(ignoring("ENOENT"))) ?? [];
  const files = await Promise.all(names.map((name) => pauseFile(join(directoryIn(stateDir), name), now)));
  return files.filter((file) => file !== undefined);
}

/** The files of one server. Throws if one of them cannot be read. */
export async function pauseFilesOf(server: string, stateDir: string, now: Date): Promise<PauseFile[]> {
  const own = (await pauseFiles(stateDir, now)).filter((file) => file.server === server);
  for (const { path, problem } of own)
    if (problem !== undefined)
      throw new Pg321Error("storage", `${path}: ${problem}`, { hint: unreadableHint(path) });
  return own;
}

/** What to do about a file that cannot be read. */
export function unreadableHint(path: string): string {
  return `if no dump of this standby runs: rm -r ${shellQuoted(path)}, then run: pg321 resume-replay`;
}

async function pauseFile(path: string, now: Date): Promise<PauseFile | undefined> {
  // Another process may just have ended the pause.
  let text: string | undefined;
  try {
    text = await readFile(path, "utf8").catch(ignoring("ENOENT"));
  } catch (error) {
    const [, of] = FILE_NAME.exec(basename(path)) ?? [];
    return of === undefined ? undefined : { path, server: of, isHeld: true, problem: messageOf(error) };
  }
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
