import type { Clock } from "../base/clock.ts";
import { LEASE_LOOK_MS, LEASE_WATCH_MS } from "../base/limits.ts";
import { fateOf, isSameProcess } from "../base/process/identity.ts";
import type { Catalog } from "../catalog/catalog.ts";
import type { Held } from "../catalog/lease.ts";
import { holdLease } from "../catalog/lease.ts";
import type { LeaseHolder } from "../catalog/records.ts";
import type { JobContext } from "../jobs/context.ts";

/** The lease of a daemon: of a catalog that hosts share, each host has its own. */
function daemonLeaseName({ isShared }: Catalog, host: string): string {
  return isShared ? `daemon ${host}` : "daemon";
}

/**
 * Takes the lease that makes sure that only one daemon of a host uses a catalog, and only one a catalog in a file. If the holder's process is not visible, for
 * example after a restart of the container, it waits: a living daemon renews its lease, and the lease of a dead one
 * expires within a minute. `signal` only ends the wait. Throws code `locked` if another daemon is alive.
 */
export async function holdDaemonLease(
  catalog: Catalog,
  { host, pid }: Pick<JobContext, "host" | "pid">,
  tools: { clock: Clock; signal: AbortSignal; onWait: (holder: LeaseHolder) => void },
): Promise<Held> {
  const name = daemonLeaseName(catalog, host);
  const dead = await awaitFate(catalog, name, tools);
  if (dead) await catalog.releaseLease(dead.name, dead.run_id);
  const { clock } = tools;
  // `untilTaken`: a lease that cannot be renewed is kept until another daemon takes it. Restarting would not help
  // against a full disk, and would end the runs in progress.
  const held = { clock, signal: new AbortController().signal, untilTaken: true };
  return holdLease(catalog, { name, runId: crypto.randomUUID(), host, pid }, held);
}

/**
 * Watches a daemon whose process is not visible until it shows a sign of life, or until all leases of its process have
 * expired. Returns the holder in the second case.
 */
async function awaitFate(
  catalog: Catalog,
  daemon: string,
  { clock, signal, onWait }: Parameters<typeof holdDaemonLease>[2],
): Promise<LeaseHolder | undefined> {
  const untilMs = clock.monotonicMs() + LEASE_WATCH_MS;
  let before: LeaseHolder | undefined;
  for (;;) {
    const leases = await catalog.leases();
    const now = (await catalog.leaseTime(clock)).toISOString();
    const holder = leases.find(({ name }) => name === daemon);
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
