import { DAY_MS } from "../base/limits.ts";
import { fateOf } from "../base/process/identity.ts";
import { isRunLease } from "../catalog/database-lease.ts";
import { isHeld, isLeftHere } from "../catalog/lease.ts";
import type { LeaseHolder, RunRecord } from "../catalog/records.ts";
import type { JobContext } from "./context.ts";
import { isWorkedOn } from "./record-run.ts";

/** A run of another host that pg321 0.1.0 began is taken for ended this long after, if that host has no lease any more. */
const FOREIGN_RUN_MS_MAX = DAY_MS;

/**
 * Closes the records of runs whose process is gone, or is this one and works on them no more. A process that cannot
 * be seen, of another host or in another container, works on its run while that run's lease is renewed. A run that
 * is still under way after all (its host was suspended, say) records its own end over this. Leases that are nobody's
 * any more go, too.
 */
export async function closeRuns({
  catalog,
  clock,
  host,
}: Pick<JobContext, "catalog" | "clock" | "host">): Promise<void> {
  const now = clock.now();
  const beganBefore = new Date(now.getTime() - FOREIGN_RUN_MS_MAX).toISOString();
  const running = await catalog.runs({ outcome: "RUNNING" });
  // They are looked at after the runs: a run takes its lease before it is recorded.
  const leases = await catalog.leases();
  const held = leases.filter((lease) => isHeld(lease, now.toISOString()));
  const ended = running.flatMap((run) => {
    const fate = fateOf(run);
    if (fate === "alive" ? isWorkedOn(run) : fate === "unseen" && mayLive(run, held, { host, beganBefore }))
      return [];
    return { run, fate };
  });
  // Some may have ended well since they were read.
  const left = ended.length === 0 ? [] : await catalog.runs({ outcome: "RUNNING" });
  for (const { run, fate } of ended) {
    if (!left.some(({ id }) => id === run.id)) continue;
    await catalog.updateRun(run.id, {
      outcome: "INTERRUPTED",
      finished_at: now.toISOString(),
      // That of a process that lives could not be recorded: its disk was full, say.
      error: fate === "alive" ? "its end could not be recorded" : "the process ended before the run did",
    });
  }
  // To others a lease that this process could not give back is held for as long as this process lives.
  for (const lease of leases)
    if (!held.includes(lease) && (isRunLease(lease.name) || isLeftHere(lease)))
      await catalog.releaseLease(lease.name, lease.run_id);
}

function mayLive(
  run: RunRecord,
  held: readonly LeaseHolder[],
  { host, beganBefore }: { host: string; beganBefore: string },
): boolean {
  if (run.boot_id !== null) return held.some(({ run_id }) => run_id === run.id);
  // Of 0.1.0, whose runs had no lease of their own. Had it run here under this name, it would most likely be seen.
  if (held.some((lease) => lease.host === run.host)) return true;
  return run.host !== host && run.started_at >= beganBefore;
}
