import { isAlive, isHeld } from "../catalog/lease.ts";
import type { JobContext } from "./context.ts";
import type { RunningStatus } from "./status-report.ts";

/**
 * The daemon's own runs, and those of other processes that the catalog knows and that live: on this host by
 * their process, elsewhere by a lease. Oldest first.
 */
export async function runningStatuses(
  { catalog, clock, host }: Pick<JobContext, "catalog" | "clock" | "host">,
  own: readonly RunningStatus[],
): Promise<RunningStatus[]> {
  const known = new Set(own.map(({ run_id }) => run_id));
  const now = clock.now().toISOString();
  const leases = await catalog.leases();
  const others = (await catalog.runs({ outcome: "RUNNING" })).filter(
    (run) =>
      !known.has(run.id) &&
      (run.host === host
        ? isAlive(run)
        : leases.some((lease) => lease.run_id === run.id && isHeld(lease, host, now))),
  );
  const found = others.map(
    (run): RunningStatus => ({
      run_id: run.id,
      job: run.job,
      schedule: run.schedule,
      host: run.host,
      pid: run.pid,
      started_at: run.started_at,
      state: "running",
      progress: [],
    }),
  );
  return [...own, ...found].sort((left, right) => left.started_at.localeCompare(right.started_at));
}
