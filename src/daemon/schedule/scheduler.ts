import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import { HOUR_MS } from "../../base/limits.ts";
import type { Log } from "../../base/log.ts";
import type { Schedule } from "../../jobs/schedules.ts";
import type { DueTimes } from "./due-times.ts";

export interface SchedulerOptions {
  clock: Clock;
  log: Log;
  /** Called when a run is due. Must return at once, and not throw. */
  begin: (schedule: Schedule, dueAt: Date) => void;
  /** Called at every wake, after the runs that are due. */
  onTick?: () => void;
}

/** A schedule at work. */
export interface Plan {
  schedule: Schedule;
  times: DueTimes;
  /** What was due until then is settled: it ran, was left out, or never was to run. */
  settledUntil: Date;
}

/** The longest sleep: a clock that jumps, and a host that was suspended, are noticed after this time. */
export const TICK_MS_MAX = 30_000;
/** A run that begins later than this was missed, and not merely woken up late for. */
const LATE_MS = 2 * TICK_MS_MAX;
/** A clock that is set back by less repeats nothing; by more, it was wrong before, and the schedule starts anew. */
export const SET_BACK_MS = HOUR_MS;

/**
 * Wakes up for every due time, with one timer for all schedules. Of several due times of a schedule that went
 * by unnoticed, only the newest one is run.
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

  /** Works by these plans from now on. `catchUpMs`: how late a run may still be made up for. */
  follow(plans: readonly Plan[], catchUpMs: number): void {
    for (const plan of plans) {
      // It took time to make them, in which a run may have begun.
      const settled = this.settledUntil(plan.schedule.name);
      if (settled !== undefined && settled > plan.settledUntil) plan.settledUntil = settled;
    }
    this.#plans = [...plans];
    this.#catchUpMs = catchUpMs;
    this.#wake.abort();
  }

  /** What was due until then is settled, by the name of its schedule. */
  settledUntil(name: string): Date | undefined {
    return this.#plans.find(({ schedule }) => schedule.name === name)?.settledUntil;
  }

  scheduleNamed(name: string): Schedule | undefined {
    return this.#plans.find(({ schedule }) => schedule.name === name)?.schedule;
  }

  /** When each schedule's next run begins. */
  nextRuns(): Map<string, Date> {
    const runs = this.#plans.flatMap((plan): [string, Date][] => {
      const due = plan.times.after(plan.settledUntil);
      return due === undefined ? [] : [[plan.schedule.name, plan.times.beginOf(due)]];
    });
    return new Map(runs);
  }

  /** How long ago it last looked whether something is due. */
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
        log.error("a look at the schedule failed", { error: messageOf(error) });
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
    const told = { schedule: schedule.name, due_at: due.toISOString() };
    if (lateMs > Math.max(LATE_MS, this.#catchUpMs)) {
      this.#options.log.warning("a run was missed and is too old to be made up for", told);
      return;
    }
    if (lateMs > LATE_MS) this.#options.log.warning("a run was missed and is made up for", told);
    this.#options.begin(schedule, due);
  }

  #pauseMs(): number {
    const now = this.#options.clock.now().getTime();
    const next = [...this.nextRuns().values()].map((begin) => begin.getTime() - now);
    return Math.max(0, Math.min(TICK_MS_MAX, ...next));
  }
}
