import { resolveAlert } from "../alerts/alert.ts";
import { pingEnd, pingStart } from "../alerts/ping.ts";
import { alertFailedRun } from "../alerts/run-alerts.ts";
import { outsideText, Pg321Error } from "../base/errors.ts";
import { isSameProcess, processIdentity } from "../base/process/identity.ts";
import { runLeaseName } from "../catalog/database-lease.ts";
import type { Held } from "../catalog/lease.ts";
import { holdLease } from "../catalog/lease.ts";
import type { RunOutcome, RunRecord } from "../catalog/records.ts";
import { requireReachable } from "../catalog/spool/reachable.ts";
import { CatalogUnwritableError } from "../catalog/unwritable.ts";
import type { RunJob } from "../config/config.ts";
import type { JobContext } from "./context.ts";

/** What a run is about, and who is informed about it. */
export interface RunScope {
  /** The database, if it is about a single one. */
  about?: { server: string; database: string };
  /** Only a selection that somebody made, not the whole job: it is not reported to dead man's switches. */
  isPart?: boolean;
  /** Whether an error refused the run before it changed anything: then its alert is sent to nobody. */
  isRefused?: () => boolean;
  /** No alert is raised and nothing is reported, whatever the outcome. */
  isSilent?: boolean;
  /** It runs even if the catalog cannot be written. Then it is not recorded, and the log says so. */
  isUrgent?: boolean;
}

/** Records statistics while a run works; they stay in its record if it fails or is cut off. */
export type Note = (statistics: Record<string, unknown>) => Promise<void>;

/** The jobs that work without the catalog, if this host has a spool. */
const GOES_ON: readonly RunJob[] = ["backup", "restore"];

/** The ids of the runs that this process is working on. */
export const underWay = new Set<string>();

/**
 * Whether the recorded process, which must be alive, still works on a run. This process knows its own runs; others are
 * trusted.
 */
export function isWorkedOn(run: RunRecord): boolean {
  return !isSameProcess(run, processIdentity()) || underWay.has(run.id);
}

/**
 * Runs a job and records it: exactly one outcome is recorded, whatever happens. `work` returns the outcome and its
 * statistics. If it throws, the alert is raised here; alerts about its findings are the job's own task.
 */
export async function recordRun<S extends Record<string, unknown>>(
  context: JobContext,
  job: RunJob,
  work: (
    run: RunRecord,
    note: Note,
  ) => Promise<{ outcome: RunOutcome; statistics: S; error?: string | null }>,
  scope: RunScope = {},
): Promise<{ run: RunRecord; statistics: S }> {
  const { catalog, clock } = context;
  if (!GOES_ON.includes(job)) requireReachable(catalog, job);
  const run: RunRecord = {
    id: crypto.randomUUID(),
    job,
    outcome: "RUNNING",
    host: context.host,
    ...processIdentity(context.pid),
    // As in the leases of a shared catalog.
    ...(catalog.isShared && { host_id: null }),
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
    // A run cut off by shutdown is run again at the next start: dead man's switches keep waiting for that.
    if (isPinged && ended.outcome !== "INTERRUPTED") await pingEnd(context, ended);
    return ended;
  };
  let noted: RunRecord["statistics"] = null;
  const note: Note = async (statistics) => {
    noted = statistics;
    if (isRecorded) await catalog.updateRun(run.id, { statistics }).catch(ignoreUnwritable(scope));
  };
  try {
    const { outcome, statistics, error = null } = await work(run, note);
    const ended = await finish({ outcome, statistics, error });
    // A run that had nothing to do does not prove that the problem is solved.
    if (outcome !== "IDLE")
      await resolveAlert(context, job, `${job} runs again: its last run ended as ${outcome}`);
    return { run: ended, statistics };
  } catch (error) {
    const outcome = outcomeOfError(context, scope, error);
    const failed = await finish({ outcome, statistics: noted, error: outsideText(error) });
    if (!scope.isSilent) await alertFailedRun(context, failed, scope, error);
    throw error;
  } finally {
    underWay.delete(run.id);
  }
}

/** The end of the run is recorded later, or the log says that it could not be. */
function ignoreUnwritable({ isUrgent }: RunScope): (error: unknown) => void {
  return (error) => {
    if (!isUrgent || !(error instanceof CatalogUnwritableError)) throw error;
  };
}

function outcomeOfError(context: JobContext, { isPart = false }: RunScope, error: unknown): RunOutcome {
  if (context.schedule) return isStopped(context.signal) ? "INTERRUPTED" : "FAILED";
  // A mistake on the command line says nothing about the job: it must not hide how its last real run ended.
  const isMistake = error instanceof Pg321Error && error.code === "usage" && !context.signal.aborted;
  return isMistake && isPart ? "SKIPPED" : "FAILED";
}

/** Shows others that cannot see this process that the run is in progress. */
function holdRunLease({ catalog, clock, host, pid }: JobContext, { id }: RunRecord): Promise<Held> {
  // Keep it after an abort and after catalog errors: the end of the run must still be recorded.
  const tools = { clock, signal: new AbortController().signal, untilTaken: true };
  return holdLease(catalog, { name: runLeaseName(id), runId: id, host, pid }, tools);
}

/** Whether the whole program is being stopped, rather than only this run. */
function isStopped({ aborted, reason }: AbortSignal): boolean {
  return (
    aborted && reason instanceof Pg321Error && (reason.code === "terminated" || reason.code === "interrupted")
  );
}
