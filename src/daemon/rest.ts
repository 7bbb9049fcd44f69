/** A rest is at least this long: runs that follow each other closely use the same code again. */
const REST_MS = 10_000;
/** Work without a run, such as answers of the endpoint, that leaves about as much as a run. */
const WORK_CPU_MS = 5_000;

/** The runs of a daemon. */
interface Runs {
  running(): readonly unknown[];
  /** When the last run ended, by the monotonic clock; undefined before the first one. */
  readonly endedAtMs: number | undefined;
}

/**
 * Gives memory back when the daemon is at rest after work: code is compiled for each use, and in several stages the more often
 * it is used, which takes 20 to 45 MiB after hundreds of runs or thousands of answers. The next run takes about 50 ms of CPU
 * more (`npm run bench:soak`).
 */
export class Rest {
  #endedAtMs: number | undefined;
  #cpuMs = 0;

  /** To be called now and then. */
  look(runs: Runs, nowMs: number): void {
    const { endedAtMs } = runs;
    if (runs.running().length > 0 || nowMs - (endedAtMs ?? nowMs - REST_MS) < REST_MS) return;
    const { user, system } = process.cpuUsage();
    const cpuMs = (user + system) / 1_000;
    if (endedAtMs === this.#endedAtMs && cpuMs - this.#cpuMs < WORK_CPU_MS) return;
    this.#endedAtMs = endedAtMs;
    this.#cpuMs = cpuMs;
    Bun.shrink();
  }
}
