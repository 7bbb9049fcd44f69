import { DAY_MS } from "../../base/limits.ts";
import type { JobContext } from "../../jobs/context.ts";

/** How long it is remembered which host has made the backups of a due time: longer than any run is caught up. */
const KEPT_MS = 60 * DAY_MS;

/** The servers whose backups of a due time are this host's to make. */
export interface TakenSlots {
  has: (server: string) => boolean;
  /** Whether other hosts have all of them. */
  isElsewhere: boolean;
  /** Why there is nothing to do; undefined if there is. */
  why: string | undefined;
}

/**
 * Takes the due time of a scheduled run, for each server, if hosts share the backups (`fleet.workers = "any"`). The catalog
 * decides, so each is made once, by whichever daemon comes first. What a host has taken stays its own, also after a restart.
 */
export async function takeSlots(context: JobContext, servers: ReadonlySet<string>): Promise<TakenSlots> {
  const { catalog, clock, config, host, schedule } = context;
  if (!catalog.isShared || config.fleet.workers !== "any" || schedule === undefined)
    return { has: () => true, isElsewhere: false, why: undefined };
  const claimed_at = (await catalog.leaseTime(clock)).toISOString();
  const due_at = schedule.dueAt.toISOString();
  const elsewhere = new Map<string, string>();
  for (const server of [...servers].sort()) {
    const slot = { schedule: schedule.name, server, due_at, host, claimed_at };
    const taker = await catalog.slots.take(slot);
    if (taker !== host) elsewhere.set(server, taker);
  }
  await catalog.slots.prune(new Date(clock.now().getTime() - KEPT_MS).toISOString());
  const isElsewhere = servers.size > 0 && elsewhere.size === servers.size;
  const hosts = [...new Set(elsewhere.values())].map((name) => `"${name}"`).join(", ");
  return {
    has: (server) => !elsewhere.has(server),
    isElsewhere,
    why: isElsewhere ? `this scheduled time was taken by host ${hosts}` : undefined,
  };
}
