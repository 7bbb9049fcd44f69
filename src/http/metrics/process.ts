import { readdirSync, readFileSync } from "node:fs";

/**
 * The resource usage of this process as Linux reports it; null if it does not.
 *
 * The default metrics of prom-client are not used: they can only be enabled together, and they include a timer for
 * the event loop's delay and an observer of garbage collection, which cost an idle daemon CPU time.
 */
export interface ProcessUsage {
  /** User and system time in seconds, without child processes. */
  cpuSeconds: number;
  residentBytes: number | null;
  virtualBytes: number | null;
  openFiles: number | null;
  openFilesMax: number | null;
}

/**
 * Never fails: if /proc is hidden, only the CPU time is known. Reads synchronously: the files are in memory, and
 * the thread pool of asynchronous reads is busy with compression while a backup runs.
 */
export function processUsage(): ProcessUsage {
  const status = known(() => readFileSync("/proc/self/status", "utf8"));
  const limits = known(() => readFileSync("/proc/self/limits", "utf8"));
  const files = known(() => readdirSync("/proc/self/fd"));
  const { user, system } = process.cpuUsage();
  const kibibytes = (name: string) => found(status, new RegExp(`^${name}:\\s+(\\d+) kB$`, "m"), 1024);
  return {
    cpuSeconds: (user + system) / 1e6,
    residentBytes: kibibytes("VmRSS"),
    virtualBytes: kibibytes("VmSize"),
    // One of them is the descriptor of the directory while it is read.
    openFiles: files && files.length - 1,
    openFilesMax: found(limits, /^Max open files\s+(\d+)\s/m, 1),
  };
}

function found(text: string | null, pattern: RegExp, unit: number): number | null {
  const digits = text === null ? undefined : pattern.exec(text)?.[1];
  return digits === undefined ? null : Number(digits) * unit;
}

function known<T>(read: () => T): T | null {
  try {
    return read();
  } catch {
    return null;
  }
}
