/** One measured run of a whole process and everything that it started and waited for. */
export interface Measured {
  exitCode: number;
  wallMs: number;
  /** User and system time, children included. */
  cpuMs: number;
  /** The largest resident size of any one process of it. */
  peakMib: number;
  stderr: string;
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
  const [stderr, exitCode] = await Promise.all([new Response(child.stderr).text(), child.exited]);
  const wallMs = performance.now() - startedAtMs;
  const usage = child.resourceUsage();
  if (!usage) throw new Error("no resource usage");
  return {
    exitCode,
    wallMs,
    cpuMs: Number(usage.cpuTime.total) / 1000,
    peakMib: usage.maxRSS / 1024 / 1024,
    stderr,
  };
}

/** Each figure's own median. */
export function median(runs: readonly Measured[]): Omit<Measured, "exitCode" | "stderr"> {
  const of = (figure: "wallMs" | "cpuMs" | "peakMib") => {
    const sorted = runs.map((run) => run[figure]).sort((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)] as number;
  };
  return { wallMs: of("wallMs"), cpuMs: of("cpuMs"), peakMib: of("peakMib") };
}
