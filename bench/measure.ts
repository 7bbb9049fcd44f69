import { readFileSync } from "node:fs";

/** The measurement of a whole process, including the processes that it started and waited for. */
export interface Measured {
  exitCode: number;
  wallMs: number;
  /** User and system time, children included. */
  cpuMs: number;
  /**
   * The largest resident size of the process itself, without children. Sampled from VmHWM, which only grows: the usage
   * that the system reports at the end includes the size of the process that forked it.
   */
  peakMib: number;
  stderr: string;
}

const SAMPLE_MS = 20;

/** The largest resident size of a process until now. */
export function highWaterMib(pid: number): number {
  try {
    const line = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"));
    return Number(line?.[1] ?? 0) / 1024;
  } catch {
    // The process has ended.
    return 0;
  }
}

/** The resident size of a process now. */
export function residentMib(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"));
  return Number(line?.[1] ?? 0) / 1024;
}

export async function measure({
  argv,
  env,
}: {
  argv: string[];
  env?: Record<string, string>;
}): Promise<Measured> {
  const startedAtMs = performance.now();
  const child = Bun.spawn(argv, {
    env: { PATH: process.env["PATH"] ?? "", HOME: process.env["HOME"] ?? "/", ...env },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let peakMib = 0;
  const sampler = setInterval(() => {
    peakMib = Math.max(peakMib, highWaterMib(child.pid));
  }, SAMPLE_MS);
  const [stderr, exitCode] = await Promise.all([new Response(child.stderr).text(), child.exited]);
  const wallMs = performance.now() - startedAtMs;
  clearInterval(sampler);
  const usage = child.resourceUsage();
  if (!usage) throw new Error("no resource usage");
  return {
    exitCode,
    wallMs,
    cpuMs: Number(usage.cpuTime.total) / 1000,
    peakMib,
    stderr,
  };
}

/** The median of each figure. */
export function median(runs: readonly Measured[]): Omit<Measured, "exitCode" | "stderr"> {
  const of = (figure: "wallMs" | "cpuMs" | "peakMib") => {
    const sorted = runs.map((run) => run[figure]).sort((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)] as number;
  };
  return { wallMs: of("wallMs"), cpuMs: of("cpuMs"), peakMib: of("peakMib") };
}
