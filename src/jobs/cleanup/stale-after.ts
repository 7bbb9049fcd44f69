import { DAY_MS } from "../../base/limits.ts";
import { isGlobalsPlace } from "../../catalog/globals.ts";
import type { Config } from "../../config/config.ts";
import { backupEntry, timetableOf } from "../schedules.ts";

interface Place {
  server: string;
  database: string;
}

/** For databases that no schedule backs up. */
const STALE_AFTER_MS = 3 * DAY_MS;
const INTERVALS = 3;

/**
 * How long a database may go without a new good backup before retention guards its copies, in milliseconds:
 * `guard.stale_after`, or else three times the longest interval of its backup schedule, or else three days. Globals are
 * backed up with every run of their server: for them the most frequent schedule of its databases (`places`) counts.
 */
export function staleAfterMs(
  config: Pick<Config, "guard" | "schedule" | "timezone">,
  place: Place,
  now: Date,
  places: readonly Place[],
): number {
  if (config.guard.stale_after_ms !== undefined) return config.guard.stale_after_ms;
  const timetable = timetableOf(config, now);
  const backedUp = isGlobalsPlace(place) ? places.filter(({ server }) => server === place.server) : [place];
  const intervals = backedUp.flatMap(
    ({ server, database }) => backupEntry(timetable, server, database)?.intervalMs ?? [],
  );
  return intervals.length === 0 ? STALE_AFTER_MS : INTERVALS * Math.min(...intervals);
}
