import { DAY_MS } from "../base/limits.ts";
import { fateOf } from "../base/process/identity.ts";
import { isRunLease } from "../catalog/database-lease.ts";
import { isHeld, isLeftHere } from "../catalog/lease.ts";
import type { LeaseHolder, RunRecord } from "../catalog/records.ts";
import type { JobContext } from "./context.ts";
import { ownershipOf } from "./ownership.ts";
import { isWorkedOn } from "./record-run.ts";

/** A run of pg321 0.1.0 on another host counts as ended this long after its start, if that host holds no lease. */
const FOREIGN_RUN_MS_MAX = DAY_MS;

/**
 * Closes the records of this host's runs that nobody works on any more, and of hosts that are not registered: their process is gone, or it is this process and no longer
 * works on them. A process that cannot be seen (on another host or in another container) counts as working while the
 * run's lease is renewed. If such a run is still in progress after all (its host was suspended, for example), it later
 * overwrites this with its own end. Leases that nobody holds any more are released too.
 */
export async function closeRuns(
  context: Pick<JobContext, "catalog" | "clock" | "config" | "host">,
): Promise<void> {
  const { catalog, clock, host } = context;
  const others = new Set((await ownershipOf(context)).history.hosts);
  const now = clock.now();
  const beganBefore = new Date(now.getTime() - FOREIGN_RUN_MS_MAX).toISOString();
  const running = await catalog.runs({ outcome: "RUNNING" });
  // Read the leases after the runs: a run takes its lease before it is recorded.
  const leases = await catalog.leases();
  const leaseNow = (await catalog.leaseTime(clock)).toISOString();
  const held = leases.filter((lease) => isHeld(lease, leaseNow));
  const ended = running.flatMap((run) => {
    if (others.has(run.host)) return [];
    const fate = fateOf(run);
    if (fate === "alive" ? isWorkedOn(run) : fate === "unseen" && mayLive(run, held, { host, beganBefore }))
      return [];
    return { run, fate };
  });
  // Some runs may have ended normally since they were read.
  const left = ended.length === 0 ? [] : await catalog.runs({ outcome: "RUNNING" });
  for (const { run, fate } of ended) {
    if (!left.some(({ id }) => id === run.id)) continue;
    await catalog.updateRun(run.id, {
      outcome: "INTERRUPTED",
      finished_at: now.toISOString(),
      // If the process is alive, it could not record the end: its disk was full, for example.
      error: fate === "alive" ? "its end could not be recorded" : "the process ended before the run did",
    });
  }
  // Otherwise a lease that this process failed to release would count as held for as long as this process lives.
  for (const lease of leases)
    if (!held.includes(lease) && !others.has(lease.host) && (isRunLease(lease.name) || isLeftHere(lease)))
      await catalog.releaseLease(lease.name, lease.run_id);
}

function mayLive(
  run: RunRecord,
  held: readonly LeaseHolder[],
  { host, beganBefore }: { host: string; beganBefore: string },
): boolean {
  if (run.boot_id !== null) return held.some(({ run_id }) => run_id === run.id);
  // A run of 0.1.0, which had no lease of its own. If it ran on this host, its process would most likely be seen.
  if (held.some((lease) => lease.host === run.host)) return true;
  return run.host !== host && run.started_at >= beganBefore;
}
