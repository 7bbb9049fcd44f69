import { DAY_MS } from "../../base/limits.ts";
import type { HistoryCounts } from "../../catalog/records.ts";
import type { JobContext } from "../context.ts";
import { ownershipOf } from "../ownership.ts";

/** Other hosts that share the catalog know by its tombstone that a backup was removed: see `restoreLost`. */
const SHARED_TOMBSTONES_MS_MIN = DAY_MS;

/** Removes old history of this host from the catalog: tombstones, restore tests, runs, alerts and notices. */
export async function pruneCatalog(
  context: Pick<JobContext, "catalog" | "clock" | "config" | "host" | "signal">,
): Promise<HistoryCounts> {
  const { catalog, clock, config, signal } = context;
  const { history: others } = await ownershipOf(context);
  const before = (ageMs: number) => new Date(clock.now().getTime() - ageMs).toISOString();
  const tombstonesMs = Math.max(
    config.cleanup.tombstones_ms,
    catalog.isShared ? SHARED_TOMBSTONES_MS_MIN : 0,
  );
  await catalog.pruneTombstones(before(tombstonesMs), others);
  await catalog.restoreTests.prune(before(config.cleanup.history_ms), others.servers);
  const total: HistoryCounts = { runs: 0, alerts: 0, deliveries: 0 };
  for (;;) {
    signal.throwIfAborted();
    const until = before(config.cleanup.history_ms);
    const { runs, alerts, deliveries } = await catalog.pruneHistory(until, others);
    if (runs + alerts + deliveries === 0) return total;
    total.runs += runs;
    total.alerts += alerts;
    total.deliveries += deliveries;
  }
}
