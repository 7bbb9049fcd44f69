import { readdirSync, readFileSync } from "node:fs";

/**
 * What Linux says of this process. Null where it does not tell.
 *
 * The default metrics of prom-client are all or nothing, and with them come a timer for the event loop's delay
 * and an observer of garbage collection, which an idle daemon would pay for.
 */
export interface ProcessUsage {
  /** User and system time, in seconds; children are not in it. */
  cpuSeconds: number;
  residentBytes: number | null;
  virtualBytes: number | null;
  openFiles: number | null;
  openFilesMax: number | null;
}

/**
 * Never fails: where /proc is hidden, only the CPU time is known. Reads at once: the files are in memory, and the
 * thread pool, which would read them otherwise, is taken up by the compression while a backup runs.
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
    // One of them was the directory's own, for the time of reading it.
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
