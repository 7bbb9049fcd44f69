import { createHash } from "node:crypto";
import type { Cron } from "croner";
import { cronTimes } from "../../config/cron.ts";

export interface DueTimesOptions {
  timezone: string;
  jitterMs: number;
  /** What makes the jitter of this host and schedule another one than that of others. */
  seed: string;
}

const SECOND_MS = 1_000;

/**
 * When a pattern is due, and when the run of each due time begins: by the jitter later, which is the same each
 * time it is asked for, and never takes a run past the next due time.
 */
export class DueTimes {
  readonly #cron: Cron;
  readonly #options: DueTimesOptions;

  constructor(pattern: string, options: DueTimesOptions) {
    this.#cron = cronTimes(pattern, options.timezone);
    this.#options = options;
  }

  /** The first due time after a moment; undefined where there is none any more. */
  after(moment: Date): Date | undefined {
    return this.#cron.nextRun(moment) ?? undefined;
  }

  /** The last due time after `after` and not after `until`. */
  newest(after: Date, until: Date): Date | undefined {
    const isIn = (due: Date | undefined): due is Date => due !== undefined && due <= until;
    if (!isIn(this.after(after))) return undefined;
    // The last second that still has a due time in the range after it; by halves, for they may be many.
    let [lowS, highS] = [Math.floor(after.getTime() / SECOND_MS), Math.ceil(until.getTime() / SECOND_MS)];
    while (highS - lowS > 1) {
      const middleS = Math.floor((lowS + highS) / 2);
      if (isIn(this.after(new Date(middleS * SECOND_MS)))) lowS = middleS;
      else highS = middleS;
    }
    return this.after(new Date(lowS * SECOND_MS));
  }

  /** The last due time after `after` whose run begins by `until`. */
  newestBegun(after: Date, until: Date): Date | undefined {
    const due = this.newest(after, until);
    if (due === undefined || this.beginOf(due) <= until) return due;
    // The one before it has begun by now: no run begins after the next due time.
    return this.newest(after, new Date(due.getTime() - SECOND_MS));
  }

  beginOf(due: Date): Date {
    const { jitterMs, seed } = this.#options;
    const next = this.after(due);
    const roomMs = Math.min(jitterMs, next === undefined ? jitterMs : next.getTime() - due.getTime());
    const digest = createHash("sha256").update(`${seed}\n${due.toISOString()}`).digest();
    return new Date(due.getTime() + Math.floor((roomMs * digest.readUInt32BE()) / 2 ** 32));
  }
}
