import type { JobContext } from "../jobs/context.ts";
import type { TimetableEntry } from "../jobs/schedules.ts";

/** What a report is made from. Of the storages it asks nothing but what they are. */
export type StatusSource = Pick<
  JobContext,
  "catalog" | "config" | "storages" | "clock" | "host" | "installation"
>;

/** A schedule and when it is due next; null: never again. */
export interface TimedSchedule extends TimetableEntry {
  nextRunAt: string | null;
}
