import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import { HOUR_MS } from "../../base/limits.ts";
import type { Log } from "../../base/log.ts";
import type { Schedule } from "../../jobs/schedules.ts";
import type { DueTimes } from "./due-times.ts";

export interface SchedulerOptions {
  clock: Clock;
  log: Log;
  /** Called when a run is due. Must return at once and must not throw. */
  begin: (schedule: Schedule, dueAt: Date) => void;
  /** Called at every tick, after the due runs were started. */
  onTick?: () => void;
}

/** A schedule with its due times. */
export interface Plan {
  schedule: Schedule;
  times: DueTimes;
  /** Due times up to this one are settled: they were run or skipped, or were before the schedule existed. */
  settledUntil: Date;
}

/** The longest sleep: a jump of the clock or a suspended host is noticed after this time. */
export const TICK_MS_MAX = 30_000;
/** A run that is later than this was missed; less is an ordinary delay of the timer. */
const LATE_MS = 2 * TICK_MS_MAX;
/** If the clock is set back by less, no run is repeated; by more, the old time was wrong, and settled times are reset. */
export const SET_BACK_MS = HOUR_MS;

/**
 * Wakes up for every due time, with one timer for all schedules. If several due times of a schedule were missed, only
 * the newest one is run.
 */
export class Scheduler {
  readonly #options: SchedulerOptions;
  #plans: Plan[] = [];
  #catchUpMs = 0;
  #wake = new AbortController();
  #tickedAtMs: number;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#tickedAtMs = options.clock.monotonicMs();
  }

  /** Follows these plans from now on. `catchUpMs`: how late a missed run may still be started. */
  follow(plans: readonly Plan[], catchUpMs: number): void {
    const now = this.#options.clock.now();
    // What is due by the plans so far is due, although this timer has not noticed yet.
    for (const plan of this.#plans) this.#look(plan, now);
    for (const plan of plans) {
      // A run may have started while the plans were made.
      const settled = this.settledUntil(plan.schedule.name);
      if (settled !== undefined && settled > plan.settledUntil) plan.settledUntil = settled;
    }
    this.#plans = [...plans];
    this.#catchUpMs = catchUpMs;
    this.#wake.abort();
  }

  /** The last settled due time of a schedule, by its name. */
  settledUntil(name: string): Date | undefined {
    return this.#plans.find(({ schedule }) => schedule.name === name)?.settledUntil;
  }

  scheduleNamed(name: string): Schedule | undefined {
    return this.#plans.find(({ schedule }) => schedule.name === name)?.schedule;
  }

  /** When the next run of each schedule starts. */
  nextRuns(): Map<string, Date> {
    const runs = this.#plans.flatMap((plan): [string, Date][] => {
      const due = plan.times.after(plan.settledUntil);
      return due === undefined ? [] : [[plan.schedule.name, plan.times.beginOf(due)]];
    });
    return new Map(runs);
  }

  /** The time since the last tick. */
  silentMs(): number {
    return this.#options.clock.monotonicMs() - this.#tickedAtMs;
  }

  /** Runs until the signal aborts; never throws. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    while (!signal.aborted) {
      this.#wake = new AbortController();
      try {
        this.#tick();
      } catch (error) {
        log.error("checking the schedule failed", { error: messageOf(error) });
      }
      await clock.sleep(this.#pauseMs(), AbortSignal.any([signal, this.#wake.signal])).catch(() => {});
    }
  }

  #tick(): void {
    const now = this.#options.clock.now();
    this.#tickedAtMs = this.#options.clock.monotonicMs();
    for (const plan of this.#plans) this.#look(plan, now);
    this.#options.onTick?.();
  }

  #look(plan: Plan, now: Date): void {
    const { schedule, times } = plan;
    if (plan.settledUntil.getTime() - now.getTime() > SET_BACK_MS) plan.settledUntil = now;
    const due = times.newestBegun(plan.settledUntil, now);
    if (due === undefined) return;
    plan.settledUntil = due;
    const lateMs = now.getTime() - times.beginOf(due).getTime();
    const about = { schedule: schedule.name, due_at: due.toISOString() };
    if (lateMs > Math.max(LATE_MS, this.#catchUpMs)) {
      this.#options.log.warning("a missed run is skipped: too long ago (schedule.catch_up)", about);
      return;
    }
    if (lateMs > LATE_MS) this.#options.log.warning("a missed run starts now", about);
    this.#options.begin(schedule, due);
  }

  #pauseMs(): number {
    const now = this.#options.clock.now().getTime();
    const next = [...this.nextRuns().values()].map((begin) => begin.getTime() - now);
    return Math.max(0, Math.min(TICK_MS_MAX, ...next));
  }
}
