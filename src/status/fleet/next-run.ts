import type { FleetHost } from "./report.ts";

/** A time, `due` if that has passed since the last heartbeat of a daemon that is up, or null: none is known. */
export type NextRun = string | "due" | null;

/** The next run of a host, of this job or of any. */
export function nextRun({ next_runs, state, as_of }: FleetHost, now: string, job?: string): NextRun {
  const times = next_runs.flatMap((next) => (job === undefined || next.job === job ? (next.at ?? []) : []));
  const next = times.sort()[0] ?? null;
  return next !== null && next <= (as_of ?? now) && state === "up" ? "due" : next;
}
