import { unlessLate } from "../base/abort.ts";
import type { Clock } from "../base/clock.ts";
import { messageOf, Pg321Error } from "../base/errors.ts";
import type { PoolWatch } from "../base/process/thread-pool.ts";
import type { Catalog } from "../catalog/catalog.ts";
import type { Held } from "../catalog/lease.ts";
import type { Scheduler } from "./schedule/scheduler.ts";
import { TICK_MS_MAX } from "./schedule/scheduler.ts";

/** The schedule is looked at every `TICK_MS_MAX`; one that was not for this long has come to a stop. */
export const SCHEDULE_MS_MAX: number = 3 * TICK_MS_MAX;
/** Compression keeps the thread pool busy for moments; one that is silent for this long has no thread free. */
const POOL_MS_MAX = 2 * TICK_MS_MAX;
/** A catalog that has not answered after this time does not. */
const CATALOG_MS_MAX = 2_000;

/** What a daemon works with, as far as it can fail. */
export interface Workings {
  clock: Clock;
  catalog: Catalog;
  lease: Pick<Held, "trouble">;
  scheduler: Pick<Scheduler, "silentMs">;
  pool: Pick<PoolWatch, "silentMs">;
  isStopping: boolean;
}

/** Why the daemon cannot do its work; empty when all is well. Asks no storage and no server. */
export async function troublesOf(workings: Workings): Promise<string[]> {
  const { clock, catalog, lease, scheduler, pool, isStopping } = workings;
  const troubles: string[] = [];
  const silentMs = scheduler.silentMs();
  if (silentMs > SCHEDULE_MS_MAX && !isStopping)
    troubles.push(`the schedule was not looked at for ${Math.round(silentMs / 1000)} s`);
  const poolMs = pool.silentMs();
  if (poolMs > POOL_MS_MAX)
    troubles.push(`no thread was free for ${Math.round(poolMs / 1000)} s: calls hang on a disk or a mount`);
  try {
    await unlessLate(
      catalog.installation(),
      { clock, durationMs: CATALOG_MS_MAX },
      () => new Pg321Error("storage", `no answer within ${CATALOG_MS_MAX / 1000} s`),
    );
  } catch (error) {
    troubles.push(`the catalog does not answer: ${messageOf(error)}`);
  }
  if (lease.trouble !== undefined)
    troubles.push(`the catalog cannot be written: ${messageOf(lease.trouble)}`);
  return troubles;
}
