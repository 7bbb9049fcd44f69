import type { Calendar } from "./calendar.ts";
import type { KeepRules, RetainedBackup } from "./facts.ts";

const PERIODS = ["daily", "weekly", "monthly", "yearly"] as const;
const PERIOD_NAMES = { daily: "day", weekly: "week", monthly: "month", yearly: "year" } as const;

/**
 * The counting rules of one storage for one database. They get, newest first, its good backups with a confirmed
 * copy there, and remember only the periods counted.
 */
export class CountingRules {
  readonly #keep: KeepRules;
  readonly #calendar: Calendar;
  readonly #seen = new Map<string, Set<string>>();
  #count = 0;

  constructor(keep: KeepRules, calendar: Calendar) {
    this.#keep = keep;
    this.#calendar = calendar;
  }

  /** Counts the next backup. Returns the reason of the first rule that keeps it; undefined: none does. */
  count({ startedAt }: Pick<RetainedBackup, "startedAt">): string | undefined {
    const { last = 0 } = this.#keep;
    this.#count++;
    let reason = this.#count <= last ? `keep.last = ${last}, and it is one of the newest here` : undefined;
    for (const rule of PERIODS) {
      const most = this.#keep[rule];
      if (most === undefined) continue;
      const period = this.#calendar.periods(startedAt)[rule];
      if (!this.#isNew(rule, period, most)) continue;
      reason ??= `keep.${rule} = ${most}, and it is the newest here of the ${PERIOD_NAMES[rule]} ${period}`;
    }
    return reason;
  }

  #isNew(rule: string, period: string, most: number): boolean {
    const seen = this.#seen.get(rule) ?? new Set();
    this.#seen.set(rule, seen);
    if (seen.has(period) || seen.size === most) return false;
    seen.add(period);
    return true;
  }
}
