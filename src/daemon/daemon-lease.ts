import type { Clock } from "../base/clock.ts";
import { LEASE_LOOK_MS, LEASE_WATCH_MS } from "../base/limits.ts";
import { fateOf, isSameProcess } from "../base/process/identity.ts";
import type { Catalog } from "../catalog/catalog.ts";
import type { Held } from "../catalog/lease.ts";
import { holdLease } from "../catalog/lease.ts";
import type { LeaseHolder } from "../catalog/records.ts";
import type { JobContext } from "../jobs/context.ts";

const NAME = "daemon";

/**
 * The lease that keeps a catalog to one daemon. The lease of a daemon that cannot be seen, such as the one of this
 * container before it was started anew, is waited for: a living daemon renews it, that of a dead one runs out within
 * a minute. `signal` ends the wait only. Throws code `locked` when another daemon lives.
 */
export async function holdDaemonLease(
  catalog: Catalog,
  { host, pid }: Pick<JobContext, "host" | "pid">,
  tools: { clock: Clock; signal: AbortSignal; onWait: (holder: LeaseHolder) => void },
): Promise<Held> {
  const dead = await awaitFate(catalog, tools);
  if (dead) await catalog.releaseLease(dead.name, dead.run_id);
  const { clock } = tools;
  // No work beside another daemon's is at stake: a new start would not mend a full disk, and would end what runs.
  const held = { clock, signal: new AbortController().signal, untilTaken: true };
  return holdLease(catalog, { name: NAME, runId: crypto.randomUUID(), host, pid }, held);
}

/**
 * Watches a daemon that cannot be seen until it has shown that it lives, or each lease of its process has run out:
 * then it is returned.
 */
async function awaitFate(
  catalog: Catalog,
  { clock, signal, onWait }: Parameters<typeof holdDaemonLease>[2],
): Promise<LeaseHolder | undefined> {
  const untilMs = clock.monotonicMs() + LEASE_WATCH_MS;
  let before: LeaseHolder | undefined;
  for (;;) {
    const leases = await catalog.leases();
    const now = clock.now().toISOString();
    const holder = leases.find(({ name }) => name === NAME);
    if (!holder || fateOf(holder) !== "unseen") return undefined;
    if (before && (before.run_id !== holder.run_id || before.expires_at !== holder.expires_at))
      return undefined;
    const isOver = !leases.some((lease) => isSameProcess(lease, holder) && lease.expires_at > now);
    if (isOver && clock.monotonicMs() >= untilMs) return holder;
    if (!before) onWait(holder);
    before = holder;
    await clock.sleep(LEASE_LOOK_MS, signal);
  }
}
