import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import { LEASE_MS } from "../../base/limits.ts";
import type { Log } from "../../base/log.ts";
import { runLeaseName } from "../../catalog/database-lease.ts";
import type { TakenSlot } from "../../catalog/fleet/slots.ts";
import { isHeld } from "../../catalog/lease.ts";
import { unreachableSince } from "../../catalog/spool/reachable.ts";
import { mayMean } from "../../jobs/backup/targets.ts";
import type { JobContext } from "../../jobs/context.ts";
import { type Schedule, schedulesOf } from "../../jobs/schedules.ts";
import type { ContextInForce } from "../context-in-force.ts";

/** How often a daemon looks. */
const LOOK_MS = LEASE_MS / 2;
/** How many records of its backups are searched for its own tries. */
const RUNS_MAX = 500;

interface Tools {
  clock: Clock;
  log: Log;
  isBusy: (schedule: string) => boolean;
  begin: (schedule: Schedule, dueAt: Date) => void;
}

/** Takes over the backups of a due time from a host that died while it made them, if hosts share them (`fleet.workers = "any"`). */
export class AbandonedBackups {
  readonly #tools: Tools;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #looking = false;
  /**
   * The slots that looked abandoned at the last look. Only the second look counts: after an outage of its host's catalog a slot is
   * delivered before the run that ended it.
   */
  #suspected: ReadonlySet<string> = new Set();

  constructor(tools: Tools) {
    this.#tools = tools;
  }

  /** Never throws. */
  look(inForce: ContextInForce): void {
    const nowMs = this.#tools.clock.monotonicMs();
    if (this.#looking || nowMs - this.#lookedAtMs < LOOK_MS) return;
    this.#lookedAtMs = nowMs;
    this.#looking = true;
    void this.#look(inForce).finally(() => {
      this.#looking = false;
    });
  }

  async #look(inForce: ContextInForce): Promise<void> {
    try {
      using _used = inForce.use();
      const { catalog, config } = inForce.context;
      const isShared = catalog.isShared && config.fleet.workers === "any";
      if (!isShared || unreachableSince(catalog) !== undefined) return;
      const before = this.#suspected;
      const found = new Set<string>();
      this.#suspected = found;
      for (const schedule of schedulesOf(config)) {
        if (schedule.job !== "backup" || this.#tools.isBusy(schedule.name)) continue;
        const slots = await abandonedSlots(inForce.context, schedule);
        for (const slot of slots) found.add(JSON.stringify(slot));
        const abandoned = slots.filter((slot) => before.has(JSON.stringify(slot)));
        await this.#takeOver(inForce.context, schedule, abandoned);
      }
    } catch (error) {
      this.#tools.log.warning("backups that another host has left could not be looked for", {
        error: messageOf(error),
      });
    }
  }

  /** `abandoned`: of one due time. */
  async #takeOver(
    { catalog, clock, host }: JobContext,
    schedule: Schedule,
    abandoned: readonly TakenSlot[],
  ): Promise<void> {
    const taken = new Set<string>();
    for (const slot of abandoned) {
      const claimed_at = (await catalog.leaseTime(clock)).toISOString();
      if (!(await catalog.slots.takeOver(slot, { host, claimed_at }))) continue;
      taken.add(slot.server);
      const { server, due_at, host: from } = slot;
      this.#tools.log.warning("a backup is taken over from a host that has left it", {
        ...{ schedule: schedule.name, server, due_at, from },
      });
    }
    const [first] = abandoned;
    if (first === undefined || taken.size === 0) return;
    const selects: Schedule["selects"] = (server, database) =>
      taken.has(server) && schedule.selects(server, database);
    this.#tools.begin({ ...schedule, selects }, new Date(first.due_at));
  }
}

/** Those of the newest due time of a schedule; none that this host may not make any more. */
async function abandonedSlots(context: JobContext, schedule: Schedule): Promise<TakenSlot[]> {
  const { catalog, clock, config, host } = context;
  const now = clock.now();
  const found: TakenSlot[] = [];
  for (const server of config.server) {
    const slot = await catalog.slots.newest(schedule.name, server.name, now.toISOString());
    if (slot === undefined || slot.host === host) continue;
    if (now.getTime() - Date.parse(slot.due_at) > config.schedule.catch_up_ms) continue;
    if ((await isAbandoned(context, slot)) && (await mayMean(context, server, schedule.selects)))
      found.push(slot);
  }
  const due = found
    .map(({ due_at }) => due_at)
    .sort()
    .at(-1);
  if (due === undefined || (await ownTries(context, schedule, due)) > config.schedule.retries) return [];
  return found.filter(({ due_at }) => due_at === due);
}

/** Whether the host that has a slot neither works on its backups nor has ended its run. */
async function isAbandoned({ catalog, clock }: JobContext, slot: TakenSlot): Promise<boolean> {
  const { schedule, due_at, host, claimed_at } = slot;
  const now = await catalog.leaseTime(clock);
  // It may be about to begin, or to begin again after a restart.
  if (now.getTime() - Date.parse(claimed_at) <= LEASE_MS) return false;
  const { overview } = catalog.whole ?? catalog;
  const run = await overview.lastScheduled(schedule, undefined, host);
  if (run === undefined || (run.scheduled_for ?? "") < due_at) return true;
  if (run.scheduled_for !== due_at) return false;
  if (run.outcome !== "RUNNING") return run.outcome === "INTERRUPTED";
  const name = runLeaseName(run.id);
  // A run takes its lease before it is recorded.
  return !(await catalog.leases()).some((lease) => lease.name === name && isHeld(lease, now.toISOString()));
}

async function ownTries({ catalog, host }: JobContext, { name }: Schedule, due: string): Promise<number> {
  const runs = await catalog.runs({ job: "backup", outcome: "INTERRUPTED", host, limit: RUNS_MAX });
  return runs.filter(({ schedule, scheduled_for }) => schedule === name && scheduled_for === due).length;
}
