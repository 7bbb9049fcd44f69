import { outsideText, Pg321Error } from "../base/errors.ts";
import type { RunRecord } from "../catalog/records.ts";
import { alertJob } from "../config/config.ts";
import { raiseAlert } from "./alert.ts";
import type { AlertContext } from "./alert-context.ts";

/**
 * Raises the alert about a run that ended with an error; not for a mistake on the command line or a stop by a signal.
 */
export async function alertFailedRun(
  context: AlertContext & { signal: AbortSignal },
  run: RunRecord,
  {
    about,
    isRefused = () => false,
  }: { about?: { server: string; database: string }; isRefused?: () => boolean },
  error: unknown,
): Promise<void> {
  const job = alertJob(run.job);
  const { aborted, reason } = context.signal;
  const cause: unknown = aborted ? reason : error;
  const { code, hint } = cause instanceof Pg321Error ? cause : {};
  // A lost lease also aborts the run, but nobody asked for that.
  if ((aborted && code !== "locked") || code === "usage") return;
  const { server = null, database = null } = about ?? {};
  const isQuiet = isRefused();
  await raiseAlert(context, {
    level: code === "locked" || isQuiet ? "WARNING" : "CRITICAL",
    job,
    run_id: run.id,
    server,
    database,
    key: job,
    message: `${run.job} failed: ${outsideText(cause)}`,
    metadata: { hint: hint ?? null },
    // No later restore would resolve it: reminders would never end.
    isEvent: job === "restore",
    isQuiet,
  });
}

/** Records a run in which everything succeeded. */
export async function alertSuccess(context: AlertContext, run: RunRecord, message: string): Promise<void> {
  await raiseAlert(context, {
    level: "INFO",
    job: alertJob(run.job),
    run_id: run.id,
    server: null,
    database: null,
    key: `${run.job} succeeded`,
    message,
    metadata: { ...run.statistics },
  });
}
