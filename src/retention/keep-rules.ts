import type { Calendar } from "./calendar.ts";
import type { KeepRules, RetainedBackup } from "./facts.ts";

const PERIODS = ["daily", "weekly", "monthly", "yearly"] as const;
const PERIOD_NAMES = { daily: "day", weekly: "week", monthly: "month", yearly: "year" } as const;

/**
 * What the counting rules of one storage hold, and why. `candidates` are the good backups of one database
 * with a confirmed copy there, newest first.
 */
export function heldByCount(
  candidates: readonly RetainedBackup[],
  keep: KeepRules,
  calendar: Calendar,
): Map<RetainedBackup, string> {
  const held = new Map<RetainedBackup, string>();
  for (const backup of candidates.slice(0, keep.last ?? 0))
    held.set(backup, `keep.last = ${keep.last}, and it is one of the newest here`);
  for (const rule of PERIODS) {
    const count = keep[rule];
    if (count === undefined) continue;
    const seen = new Set<string>();
    for (const backup of candidates) {
      const period = calendar.periods(backup.startedAt)[rule];
      if (seen.has(period)) continue;
      if (seen.size === count) break;
      seen.add(period);
      if (!held.has(backup))
        held.set(
          backup,
          `keep.${rule} = ${count}, and it is the newest here of the ${PERIOD_NAMES[rule]} ${period}`,
        );
    }
  }
  return held;
}
