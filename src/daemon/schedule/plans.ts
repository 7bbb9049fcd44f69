import type { JobContext } from "../../jobs/context.ts";
import { refuseStranger } from "../../jobs/register-host.ts";
import type { Schedule } from "../../jobs/schedules.ts";
import { schedulesOf } from "../../jobs/schedules.ts";
import { DueTimes } from "./due-times.ts";
import { historyOf } from "./history.ts";
import type { Plan } from "./scheduler.ts";

/** The plans with which a daemon starts. */
export interface StartingPlans {
  plans: Plan[];
  /** Runs that an earlier daemon did not finish: they run again now. */
  interrupted: { schedule: Schedule; dueAt: Date }[];
  /** How many runs of each schedule were skipped in a row. */
  skipped: Map<string, number>;
}

/**
 * The plans at the start, from the catalog: runs that were missed since the daemon last ran are due at once. Throws as
 * `refuseStranger` does.
 */
export async function startingPlans(context: JobContext): Promise<StartingPlans> {
  await refuseStranger(context);
  const now = context.clock.now();
  const { catch_up_ms, retries } = context.config.schedule;
  const oldest = before(now, catch_up_ms);
  const started: StartingPlans = { plans: [], interrupted: [], skipped: new Map() };
  for (const schedule of schedulesOf(context.config)) {
    const history = await historyOf(
      context.catalog,
      schedule,
      now,
      context.catalog.isShared ? context.host : undefined,
    );
    const since = await seenSince(context, schedule);
    const plan = planOf(context, schedule, latest(oldest, before(since, 0), history.settledUntil ?? since));
    started.plans.push(plan);
    started.skipped.set(schedule.name, history.skipped);
    const { interrupted, tries } = history;
    const isMissed = plan.times.newestBegun(plan.settledUntil, now) !== undefined;
    if (interrupted !== null && interrupted > oldest && tries <= retries && !isMissed)
      started.interrupted.push({ schedule, dueAt: interrupted });
  }
  return started;
}

/** The plans after a reload, refused as at the start; `settledUntil` returns the last settled due time of a schedule that the old config has. */
export async function reloadedPlans(
  context: JobContext,
  settledUntil: (name: string) => Date | undefined,
): Promise<Plan[]> {
  await refuseStranger(context);
  const plans: Plan[] = [];
  for (const schedule of schedulesOf(context.config)) {
    const since = before(await seenSince(context, schedule), 0);
    plans.push(planOf(context, schedule, latest(since, settledUntil(schedule.name) ?? context.clock.now())));
  }
  return plans;
}

function planOf({ config, installation }: JobContext, schedule: Schedule, settledUntil: Date): Plan {
  const { timezone } = config;
  const seed = `${installation} ${schedule.name}`;
  const times = new DueTimes(schedule.pattern, { timezone, jitterMs: config.schedule.jitter_ms, seed });
  return { schedule, times, settledUntil };
}

/** Since when a schedule has had its pattern and time zone. */
async function seenSince({ catalog, clock, config }: JobContext, schedule: Schedule): Promise<Date> {
  const pattern = `${schedule.pattern} ${config.timezone}`;
  return new Date(await catalog.overview.seeSchedule(schedule.name, pattern, clock.now().toISOString()));
}

/** A time just before a moment, so that a due time at exactly that moment still counts. */
function before(moment: Date, durationMs: number): Date {
  return new Date(moment.getTime() - durationMs - 1);
}

function latest(...moments: Date[]): Date {
  return new Date(Math.max(...moments.map((moment) => moment.getTime())));
}
