import type { JobContext } from "../jobs/context.ts";
import type { DaemonStatus, RunningStatus } from "./report.ts";

/** What only the running daemon knows. The endpoint asks for it at every request, so it must be at hand. */
export interface LiveDaemon {
  /** The one of the config in force. Another one after a reload. */
  context(): JobContext;
  daemon(): DaemonStatus;
  /** This process's runs, those that wait for their turn included. */
  running(): RunningStatus[];
  /** The next time of each schedule by its name (`backup`, `backup busy`, `cleanup` …), jitter included. */
  nextRuns(): ReadonlyMap<string, Date>;
  /** Why the daemon is not healthy: the scheduler does not tick, the catalog does not answer. None when it is. */
  troubles(): Promise<string[]>;
  /** Why it is not ready: still starting, or stopping. None when it is. */
  waits(): string[];
}
