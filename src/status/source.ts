import type { JobContext } from "../jobs/context.ts";
import type { TimetableEntry } from "../jobs/schedules.ts";

/** What a report is made from. It reads only the settings of the storages and sends them no request. */
export type StatusSource = Pick<
  JobContext,
  "catalog" | "config" | "storages" | "clock" | "host" | "installation"
>;

/** A schedule and its next run; null if it never runs again. */
export interface TimedSchedule extends TimetableEntry {
  nextRunAt: string | null;
}
