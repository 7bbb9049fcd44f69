import type { JobContext } from "../jobs/context.ts";
import type { DaemonStatus, RunningStatus } from "./report.ts";

/** What only the running daemon knows. The endpoint reads it at every request, so each answer must be immediate. */
export interface LiveDaemon {
  /** The context of the config in force; a reload replaces it. */
  context(): JobContext;
  daemon(): DaemonStatus;
  /** The runs of this process, queued ones included. */
  running(): RunningStatus[];
  /** The next run of each schedule by its name (`backup`, `backup busy`, `cleanup` …), jitter included. */
  nextRuns(): ReadonlyMap<string, Date>;
  /** Why the daemon is unhealthy: the scheduler does not tick, the catalog does not answer. Empty if it is healthy. */
  problems(): Promise<string[]>;
  /** Why the daemon is not ready: still starting, or stopping. Empty if it is ready. */
  waits(): string[];
}
