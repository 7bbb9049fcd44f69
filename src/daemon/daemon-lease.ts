import type { Clock } from "../base/clock.ts";
import type { Catalog } from "../catalog/catalog.ts";
import type { Held } from "../catalog/lease.ts";
import { holdLease } from "../catalog/lease.ts";
import type { JobContext } from "../jobs/context.ts";

/** The lease that keeps a catalog to one daemon. */
export function holdDaemonLease(
  catalog: Catalog,
  { host, pid }: Pick<JobContext, "host" | "pid">,
  tools: { clock: Clock; signal: AbortSignal },
): Promise<Held> {
  // No work beside another daemon's is at stake: a new start would not mend a full disk, and would end what runs.
  const held = { ...tools, untilTaken: true };
  return holdLease(catalog, { name: "daemon", runId: crypto.randomUUID(), host, pid }, held);
}
