import { DAY_MS } from "../../base/limits.ts";
import type { Config } from "../../config/config.ts";
import { backupEntry, timetableOf } from "../schedules.ts";

/** For databases that no schedule backs up. */
const STALE_AFTER_MS = 3 * DAY_MS;
const INTERVALS = 3;

/**
 * How long a database may go without a new good backup before retention guards its copies, in milliseconds:
 * `guard.stale_after`, or else three times the longest interval of its backup schedule, or else three days.
 */
export function staleAfterMs(
  config: Pick<Config, "guard" | "schedule" | "timezone">,
  server: string,
  database: string,
  now: Date,
): number {
  if (config.guard.stale_after_ms !== undefined) return config.guard.stale_after_ms;
  const interval = backupEntry(timetableOf(config, now), server, database)?.intervalMs;
  return interval === undefined ? STALE_AFTER_MS : INTERVALS * interval;
}
