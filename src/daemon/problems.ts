import { unlessLate } from "../base/abort.ts";
import type { Clock } from "../base/clock.ts";
import { messageOf, Pg321Error } from "../base/errors.ts";
import type { PoolWatch } from "../base/process/thread-pool.ts";
import type { Catalog } from "../catalog/catalog.ts";
import type { Held } from "../catalog/lease.ts";
import type { Scheduler } from "./schedule/scheduler.ts";
import { TICK_MS_MAX } from "./schedule/scheduler.ts";

/** The scheduler ticks every `TICK_MS_MAX`; without a tick for this long it hangs. */
export const SCHEDULE_MS_MAX: number = 3 * TICK_MS_MAX;
/** Compression keeps the thread pool busy for moments; if it is silent for this long, all its threads hang. */
const POOL_MS_MAX = 2 * TICK_MS_MAX;
/** How long to wait for an answer from the catalog. */
const CATALOG_MS_MAX = 2_000;

/** The parts of a daemon that can fail. */
export interface Workings {
  clock: Clock;
  catalog: Catalog;
  lease: Pick<Held, "trouble">;
  scheduler: Pick<Scheduler, "silentMs">;
  pool: Pick<PoolWatch, "silentMs">;
  isStopping: boolean;
}

/** Why the daemon is unhealthy; empty if it is healthy. Asks no storage and no server. */
export async function problemsOf(workings: Workings): Promise<string[]> {
  const { clock, catalog, lease, scheduler, pool, isStopping } = workings;
  const problems: string[] = [];
  const silentMs = scheduler.silentMs();
  if (silentMs > SCHEDULE_MS_MAX && !isStopping)
    problems.push(`the schedule was not checked for ${Math.round(silentMs / 1000)} s`);
  const poolMs = pool.silentMs();
  if (poolMs > POOL_MS_MAX)
    problems.push(`no thread was free for ${Math.round(poolMs / 1000)} s: calls hang on a disk or a mount`);
  try {
    await unlessLate(
      catalog.installation(),
      { clock, durationMs: CATALOG_MS_MAX },
      () => new Pg321Error("storage", `no answer within ${CATALOG_MS_MAX / 1000} s`),
    );
  } catch (error) {
    problems.push(`the catalog does not answer: ${messageOf(error)}`);
  }
  if (lease.trouble !== undefined)
    problems.push(`the catalog cannot be written: ${messageOf(lease.trouble)}`);
  return problems;
}
