import type { Catalog } from "../../catalog/catalog.ts";
import type { RunRecord } from "../../catalog/records.ts";
import type { Schedule } from "../../jobs/schedules.ts";
import { SET_BACK_MS } from "./scheduler.ts";

/** Records of a job that are looked through for those of one schedule; a daemon skips few in a row. */
const RECORDS = 500;

export interface ScheduleHistory {
  /** The due time that was last settled, as run or as left out; null: none was. */
  settledUntil: Date | null;
  /** The due time of a run that was begun, or was to be, and did not come to its end; null: there is none. */
  interrupted: Date | null;
  /** How many runs were begun for that due time. */
  tries: number;
  /** How many due times in a row were left out, up to now. */
  skipped: number;
}

/**
 * What the catalog tells of a schedule at the start of the daemon, when no run of it is under way: the records
 * of runs whose process is gone must be closed before.
 */
export async function historyOf(
  catalog: Catalog,
  { name, job }: Schedule,
  now: Date,
): Promise<ScheduleHistory> {
  // A clock that was far ahead left records of the time to come: they settle nothing of now.
  const until = new Date(now.getTime() + SET_BACK_MS).toISOString();
  const last = await catalog.overview.lastScheduled(name, until);
  if (!last) return { settledUntil: null, interrupted: null, tries: 0, skipped: 0 };
  // Newest first, by when they began.
  const runs = (await catalog.runs({ job, limit: RECORDS })).filter(
    ({ schedule, scheduled_for }) => schedule === name && (scheduled_for ?? "") <= until,
  );
  const isSkipped = ({ outcome }: RunRecord) => outcome === "SKIPPED";
  // It began before all of those where it took long and others of its job are frequent.
  if (!runs.some(({ id }) => id === last.id)) runs.push(last);
  const real = runs.find((run) => !isSkipped(run));
  const firstReal = runs.findIndex((run) => !isSkipped(run));
  const due = interruptedDue(last, real);
  return {
    settledUntil: dateOf(last),
    interrupted: due === null ? null : new Date(due),
    tries: runs.filter((run) => !isSkipped(run) && run.scheduled_for === due).length,
    skipped: firstReal < 0 ? runs.length : firstReal,
  };
}

function interruptedDue(last: RunRecord, real: RunRecord | undefined): string | null {
  if (real?.outcome === "INTERRUPTED") return real.scheduled_for;
  if (last.outcome !== "SKIPPED") return null;
  // It was left out for a run that waited for its turn, and that was never begun.
  const wasUnderWay = real !== undefined && (real.finished_at ?? "") >= last.started_at;
  return wasUnderWay ? null : last.scheduled_for;
}

function dateOf({ scheduled_for }: RunRecord): Date | null {
  return scheduled_for === null ? null : new Date(scheduled_for);
}
