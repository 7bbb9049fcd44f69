import { lstat, readFile, readlink, realpath, rm } from "node:fs/promises";
import { join } from "node:path";
import { systemClock } from "../../base/clock.ts";

const END_MS_MAX = 10_000;
const LOOK_MS = 10;

/**
 * Ends the server whose data directory this is, at once and without a checkpoint; nothing if none runs. The working
 * directory of the process proves that it is this server and no other process that has its number by now. Returns after
 * 20 s at the latest, even if the kernel cannot end the process.
 */
export async function stopCluster(dataDir: string): Promise<void> {
  const pid = await serverOf(dataDir);
  if (pid === undefined) return;
  signal(pid, "SIGQUIT");
  const untilMs = systemClock.monotonicMs() + END_MS_MAX;
  while ((await serverOf(dataDir)) === pid) {
    const lateMs = systemClock.monotonicMs() - untilMs;
    // Not even SIGKILL ends a process that waits for a dead disk.
    if (lateMs > END_MS_MAX) return;
    if (lateMs > 0) signal(pid, "SIGKILL");
    await systemClock.sleep(LOOK_MS);
  }
}

/** Ends the cluster in this directory and removes it, also while initdb is still at work in it. */
export async function removeCluster(directory: string): Promise<void> {
  const untilMs = systemClock.monotonicMs() + END_MS_MAX;
  for (;;) {
    await stopCluster(join(directory, "data"));
    // A process that is about to end may still make files.
    await rm(directory, { recursive: true, force: true }).catch(() => {});
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
