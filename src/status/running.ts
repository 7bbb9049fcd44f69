import { fateOf } from "../base/process/identity.ts";
import { isHeld } from "../catalog/lease.ts";
import type { JobContext } from "../jobs/context.ts";
import type { RunningStatus } from "./report.ts";

/**
 * The daemon's own runs, and running runs of other processes of this host in the catalog: a run counts if its process is alive,
 * or, if this host cannot see that process, if the run still holds a lease. Oldest first.
 */
export async function runningStatuses(
  { catalog, clock, host }: Pick<JobContext, "catalog" | "clock" | "host">,
  own: readonly RunningStatus[],
): Promise<RunningStatus[]> {
  const known = new Set(own.map(({ run_id }) => run_id));
  const now = (await catalog.leaseTime(clock)).toISOString();
  const leases = await catalog.leases();
  const others = (await catalog.runs({ outcome: "RUNNING" })).filter((run) => {
    if (known.has(run.id) || (catalog.isShared && run.host !== host)) return false;
    const fate = fateOf(run);
    if (fate !== "unseen") return fate === "alive";
    return leases.some((lease) => lease.run_id === run.id && isHeld(lease, now));
  });
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
