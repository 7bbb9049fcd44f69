import { lstat, readFile, readlink, realpath, rm } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../../base/clock.ts";

const END_MS_MAX = 5_000;
/** SIGKILL ends a process at once, unless it waits for a dead disk. */
const KILL_MS_MAX = 2_000;
const LOOK_MS = 10;

/**
 * Ends the server whose data directory this is, at once and without a checkpoint; nothing if none runs. The working
 * directory of the process proves that it is this server and no other process that has its number by now. Returns its
 * process after 7 s if not even the kernel can end it; otherwise undefined.
 */
export async function stopCluster(dataDir: string): Promise<number | undefined> {
  const pid = await serverOf(dataDir);
  if (pid === undefined) return undefined;
  signal(pid, "SIGQUIT");
  const untilMs = systemClock.monotonicMs() + END_MS_MAX;
  while ((await serverOf(dataDir)) === pid) {
    const lateMs = systemClock.monotonicMs() - untilMs;
    if (lateMs > KILL_MS_MAX) return pid;
    if (lateMs > 0) signal(pid, "SIGKILL");
    await systemClock.sleep(LOOK_MS);
  }
  return undefined;
}

/** The error for a server that cannot be ended. Its files must stay: to remove them, too, would hang. */
export function unendedServer(pid: number, directory: string): Error {
  return new Error(
    `process ${pid}, the server of the throwaway cluster in ${directory}, cannot be ended: it waits for its disk`,
  );
}

/**
 * Ends the cluster in this directory and removes it, also while initdb is still at work in it. Throws, and removes
 * nothing, if its server cannot be ended.
 */
export async function removeCluster(directory: string): Promise<void> {
  const untilMs = systemClock.monotonicMs() + END_MS_MAX;
  for (;;) {
    const pid = await stopCluster(join(directory, "data"));
    if (pid !== undefined) throw unendedServer(pid, directory);
    await rm(directory, { recursive: true, force: true }).catch((error) => {
      // A process that is about to end may still make files; no other error ends by waiting.
      if (error.code !== "ENOTEMPTY") throw error;
    });
    if (!(await lstat(directory).catch(() => undefined))) return;
    if (systemClock.monotonicMs() > untilMs) return await rm(directory, { recursive: true, force: true });
    await systemClock.sleep(LOOK_MS);
  }
}

async function serverOf(dataDir: string): Promise<number | undefined> {
  const text = await readFile(join(dataDir, "postmaster.pid"), "utf8").catch(() => "");
  // Negative: a backend of initdb.
  const pid = Math.abs(Number(text.split("\n")[0]));
  if (!Number.isInteger(pid) || pid <= 1) return undefined;
  try {
    return (await readlink(`/proc/${pid}/cwd`)) === (await realpath(dataDir)) ? pid : undefined;
  } catch {
    return undefined;
  }
}

function signal(pid: number, name: "SIGQUIT" | "SIGKILL"): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended.
  }
}
