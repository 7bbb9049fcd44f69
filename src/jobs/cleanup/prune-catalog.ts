import type { HistoryCounts } from "../../catalog/records.ts";
import type { JobContext } from "../context.ts";

/** Removes old history from the catalog: tombstones, restore tests, runs, alerts and notices. */
export async function pruneCatalog({
  catalog,
  clock,
  config,
  signal,
}: Pick<JobContext, "catalog" | "clock" | "config" | "signal">): Promise<HistoryCounts> {
  const before = (ageMs: number) => new Date(clock.now().getTime() - ageMs).toISOString();
  await catalog.pruneTombstones(before(config.cleanup.tombstones_ms));
  await catalog.restoreTests.prune(before(config.cleanup.history_ms));
  const total: HistoryCounts = { runs: 0, alerts: 0, deliveries: 0 };
  for (;;) {
    signal.throwIfAborted();
    const { runs, alerts, deliveries } = await catalog.pruneHistory(before(config.cleanup.history_ms));
    if (runs + alerts + deliveries === 0) return total;
    total.runs += runs;
    total.alerts += alerts;
    total.deliveries += deliveries;
  }
}
