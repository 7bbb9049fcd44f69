import { HOUR_MS } from "../../base/limits.ts";
import { awaitLease, holdLease } from "../../catalog/lease.ts";
import { requireReachable } from "../../catalog/spool/reachable.ts";
import type { JobContext } from "../context.ts";

/** How long a cleanup waits for those of other hosts in its storages: each may delete many thousands of copies. */
const WAIT_MS = 6 * HOUR_MS;

/** The right to clean up, until it is disposed of; `context` ends with it. */
export interface CleanupRight extends AsyncDisposable {
  context: JobContext;
}

/**
 * Makes sure that only one cleanup runs: of a catalog in a file, of a host, and in a storage, whichever host works there.
 * Waits for the cleanups of other hosts. Throws code `locked` if this host has one.
 */
export async function holdCleanup(context: JobContext): Promise<CleanupRight> {
  const { catalog, clock, host, log, pid, signal } = context;
  requireReachable(catalog, "cleanup");
  const runId = crypto.randomUUID();
  await using taken = new AsyncDisposableStack();
  const name = catalog.isShared ? `cleanup ${host}` : "cleanup";
  const signals = [taken.use(await holdLease(catalog, { name, runId, host, pid }, { clock, signal })).signal];
  // All hosts take them in the same order, so that none waits for one that waits for it.
  const storages = catalog.isShared ? context.storages.map((storage) => storage.name).sort() : [];
  for (const storage of storages) {
    const request = { name: `cleanup of ${storage}`, runId, host, pid };
    const lease = await awaitLease(catalog, request, {
      ...{ clock, signal: AbortSignal.any(signals), waitMs: WAIT_MS, isShared: true },
      isBrief: async () => true,
      onWait: (holder) =>
        log.info("a cleanup waits for that of another host", { storage, host: holder.host }),
    });
    signals.push(taken.use(lease).signal);
  }
  const all = taken.move();
  return {
    context: { ...context, signal: AbortSignal.any(signals) },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}
