import { messageOf, Pg321Error } from "../base/errors.ts";
import type { RunRecord } from "../catalog/records.ts";
import { raiseAlert } from "./alert.ts";
import type { AlertContext } from "./alert-context.ts";

/** A run that an error ended. A slip at the command line and an end by a signal are nobody else's matter. */
export async function alertFailedRun(
  context: AlertContext & { signal: AbortSignal },
  { id: run_id, job }: RunRecord,
  about: { server: string; database: string } | undefined,
  error: unknown,
): Promise<void> {
  const { aborted, reason } = context.signal;
  const cause: unknown = aborted ? reason : error;
  const { code, hint } = cause instanceof Pg321Error ? cause : {};
  // A lease that was lost aborts the run, too, and that nobody asked for.
  if ((aborted && code !== "locked") || code === "usage") return;
  const { server = null, database = null } = about ?? {};
  await raiseAlert(context, {
    level: code === "locked" ? "WARNING" : "CRITICAL",
    job,
    run_id,
    server,
    database,
    key: job,
    message: `${job} failed: ${messageOf(cause)}`,
    metadata: { hint: hint ?? null },
    // Nobody runs the same restore every night: it would be reminded of for ever.
    isEvent: job === "restore",
  });
}

/** A run in which all went well. */
export async function alertSuccess(context: AlertContext, run: RunRecord, message: string): Promise<void> {
  await raiseAlert(context, {
    level: "INFO",
    job: run.job,
    run_id: run.id,
    server: null,
    database: null,
    key: `${run.job} succeeded`,
    message,
    metadata: { ...run.statistics },
  });
}
