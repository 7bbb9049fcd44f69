import { createHash } from "node:crypto";
import type { Cron } from "croner";
import { cronTimes } from "../../config/cron.ts";

export interface DueTimesOptions {
  timezone: string;
  jitterMs: number;
  /** Makes the jitter of this host and schedule differ from others. */
  seed: string;
}

const SECOND_MS = 1_000;

/**
 * The due times of a pattern, and the start of each run: the due time plus the jitter. The jitter of a due time is
 * always the same, and never moves a run past the next due time.
 */
export class DueTimes {
  readonly #cron: Cron;
  readonly #options: DueTimesOptions;

  constructor(pattern: string, options: DueTimesOptions) {
    this.#cron = cronTimes(pattern, options.timezone);
    this.#options = options;
  }

  /** The first due time after a moment; undefined if there is none. */
  after(moment: Date): Date | undefined {
    return this.#cron.nextRun(moment) ?? undefined;
  }

  /** The last due time after `after` and not after `until`. */
  newest(after: Date, until: Date): Date | undefined {
    const isIn = (due: Date | undefined): due is Date => due !== undefined && due <= until;
    if (!isIn(this.after(after))) return undefined;
    // Binary search (there may be many due times) for the last second with a due time after it in the range.
    let [lowS, highS] = [Math.floor(after.getTime() / SECOND_MS), Math.ceil(until.getTime() / SECOND_MS)];
    while (highS - lowS > 1) {
      const middleS = Math.floor((lowS + highS) / 2);
      if (isIn(this.after(new Date(middleS * SECOND_MS)))) lowS = middleS;
      else highS = middleS;
    }
    return this.after(new Date(lowS * SECOND_MS));
  }

  /** The last due time after `after` whose run starts by `until`. */
  newestBegun(after: Date, until: Date): Date | undefined {
    const due = this.newest(after, until);
    if (due === undefined || this.beginOf(due) <= until) return due;
    // The run before it has started by now: no run starts after the next due time.
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
