import { resolveAlert } from "../alerts/alert.ts";
import { pingEnd, pingStart } from "../alerts/ping.ts";
import { alertFailedRun } from "../alerts/run-alerts.ts";
import { messageOf, Pg321Error } from "../base/errors.ts";
import { isSameProcess, processIdentity } from "../base/process/identity.ts";
import { runLeaseName } from "../catalog/database-lease.ts";
import type { Held } from "../catalog/lease.ts";
import { holdLease } from "../catalog/lease.ts";
import type { RunOutcome, RunRecord } from "../catalog/records.ts";
import { CatalogUnwritableError } from "../catalog/unwritable.ts";
import type { Job } from "../config/config.ts";
import type { JobContext } from "./context.ts";

/** What others hear of a run. */
export interface RunScope {
  /** The one database that it is about. */
  about?: { server: string; database: string };
  /** Not the whole job but what somebody picked: no dead man's switch takes it for that. */
  isPart?: boolean;
  /** Nobody is told, whatever becomes of it. */
  isSilent?: boolean;
  /** It is done all the same where the catalog cannot be written: then no record tells of it, and the log says so. */
  isUrgent?: boolean;
}

/** The runs of this process that are under way, by id. */
export const underWay = new Set<string>();

/** Whether a process that lives works on the run that was recorded of it: this one knows of its own. */
export function isWorkedOn(run: RunRecord): boolean {
  return !isSameProcess(run, processIdentity()) || underWay.has(run.id);
}

/**
 * Runs a job under a run record: exactly one outcome is recorded, whatever happens. `work` returns the
 * outcome and what it counted. The alert of a run that ends with an error is raised here; those of what it
 * found are its own.
 */
export async function recordRun<S extends Record<string, unknown>>(
  context: JobContext,
  job: Job,
  work: (run: RunRecord) => Promise<{ outcome: RunOutcome; statistics: S; error?: string | null }>,
  scope: RunScope = {},
): Promise<{ run: RunRecord; statistics: S }> {
  const { catalog, clock } = context;
  const run: RunRecord = {
    id: crypto.randomUUID(),
    job,
    outcome: "RUNNING",
    host: context.host,
    ...processIdentity(context.pid),
    started_at: clock.now().toISOString(),
    finished_at: null,
    statistics: null,
    error: null,
    schedule: context.schedule?.name ?? null,
    scheduled_for: context.schedule?.dueAt.toISOString() ?? null,
  };
  let isRecorded = true;
  const unrecorded = (error: unknown): undefined => {
    if (!scope.isUrgent || !(error instanceof CatalogUnwritableError)) throw error;
    if (isRecorded)
      context.log.warning("this run is not recorded: the catalog cannot be written", {
        job,
        error: error.message,
      });
    isRecorded = false;
  };
  await using _goesOn = await holdRunLease(context, run).catch(unrecorded);
  underWay.add(run.id);
  if (isRecorded) {
    await catalog.insertRun(run).catch((error) => {
      underWay.delete(run.id);
      unrecorded(error);
    });
  }
  context.schedule?.began?.(run);
  const isPinged = !scope.isPart && !scope.isSilent;
  const started = isPinged ? pingStart(context, run) : undefined;
  const finish = async (end: Pick<RunRecord, "outcome" | "statistics" | "error">) => {
    const change = { ...end, finished_at: clock.now().toISOString() };
    if (isRecorded) await catalog.updateRun(run.id, change).catch(unrecorded);
    const ended = { ...run, ...change };
    await started;
    // One that the daemon's end has cut off is made up for: a dead man's switch goes on waiting for that.
    if (isPinged && ended.outcome !== "INTERRUPTED") await pingEnd(context, ended);
    return ended;
  };
  try {
    const { outcome, statistics, error = null } = await work(run);
    const ended = await finish({ outcome, statistics, error });
    // One that had nothing to do proves nothing.
    if (outcome !== "IDLE") await resolveAlert(context, job);
    return { run: ended, statistics };
  } catch (error) {
    const outcome = context.schedule && isStopped(context.signal) ? "INTERRUPTED" : "FAILED";
    const failed = await finish({ outcome, statistics: null, error: messageOf(error) });
    if (!scope.isSilent) await alertFailedRun(context, failed, scope.about, error);
    throw error;
  } finally {
    underWay.delete(run.id);
  }
}

/** Tells those who cannot see this process that the run goes on. */
export function holdRunLease({ catalog, clock, host, pid }: JobContext, { id }: RunRecord): Promise<Held> {
  // It outlives the signal, and a catalog that fails: the end of the run is yet to be recorded.
  const tools = { clock, signal: new AbortController().signal, untilTaken: true };
  return holdLease(catalog, { name: runLeaseName(id), runId: id, host, pid }, tools);
}

/** Whether the program is being ended, and not this run for a reason of its own. */
export function isStopped({ aborted, reason }: AbortSignal): boolean {
  return (
    aborted && reason instanceof Pg321Error && (reason.code === "terminated" || reason.code === "interrupted")
  );
}
