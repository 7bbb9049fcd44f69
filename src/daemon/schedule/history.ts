import type { Catalog } from "../../catalog/catalog.ts";
import type { RunRecord } from "../../catalog/records.ts";
import type { Schedule } from "../../jobs/schedules.ts";
import { SET_BACK_MS } from "./scheduler.ts";

/** How many records of a job are searched for those of one schedule; a daemon skips only a few in a row. */
const RECORDS = 500;

export interface ScheduleHistory {
  /** The last due time whose run was started or skipped; null if there is none. */
  settledUntil: Date | null;
  /** The due time of a run that was queued or started and did not end; null if there is none. */
  interrupted: Date | null;
  /** How many runs were started for that due time. */
  tries: number;
  /** How many due times in a row were skipped until now. */
  skipped: number;
}

/**
 * The history of a schedule from the catalog, at the start of the daemon. No run of the schedule may be open: the
 * records of runs whose process is gone must be closed before. `host`: only the runs of this host.
 */
export async function historyOf(
  catalog: Catalog,
  { name, job }: Schedule,
  now: Date,
  host?: string,
): Promise<ScheduleHistory> {
  // A clock that was far ahead has left records with future times: they do not settle current due times.
  const until = new Date(now.getTime() + SET_BACK_MS).toISOString();
  const last = await catalog.overview.lastScheduled(name, until);
  if (!last) return { settledUntil: null, interrupted: null, tries: 0, skipped: 0 };
  // Newest start first.
  const runs = (await catalog.runs({ job, limit: RECORDS, ...(host !== undefined && { host }) })).filter(
    ({ schedule, scheduled_for }) => schedule === name && (scheduled_for ?? "") <= until,
  );
  const isSkipped = ({ outcome }: RunRecord) => outcome === "SKIPPED";
  // A long run may have started before all of these, if runs of other schedules of its job are frequent.
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
  const wasUnderWay = real !== undefined && (real.finished_at ?? "") >= last.started_at;
  // Skipped because an earlier run waited for its turn, which then never started: neither was recorded as started.
  if (last.outcome === "SKIPPED" && !wasUnderWay) return last.scheduled_for;
  return real?.outcome === "INTERRUPTED" ? real.scheduled_for : null;
}

function dateOf({ scheduled_for }: RunRecord): Date | null {
  return scheduled_for === null ? null : new Date(scheduled_for);
}
