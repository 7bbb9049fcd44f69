import { messageOf, Pg321Error } from "../base/errors.ts";
import type { Job, RunRecord } from "../catalog/catalog.ts";
import type { BackupReport, BackupResult } from "../jobs/backup/backup.ts";
import type { RunScope } from "../jobs/context.ts";
import { faultText } from "../jobs/restore/faults.ts";
import type { RestoreReport } from "../jobs/restore/restore.ts";
import type { RepairReport } from "../jobs/verify/repair.ts";
import type { VerifyReport } from "../jobs/verify/verify.ts";
import type { AlertContext } from "./alert.ts";
import { raiseAlert, resolveAlert } from "./alert.ts";
import { alertIfShrunk } from "./shrink.ts";

/** A run that an error ended. A slip at the command line and an end by a signal are nobody else's matter. */
export async function alertFailedRun(
  context: AlertContext & { signal: AbortSignal },
  { id: run_id, job }: RunRecord,
  { about }: RunScope,
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

/** One alert for each database that failed or lacks copies, and one for a run in which all went well. */
export async function alertBackup(
  context: AlertContext,
  { run, results, listed }: BackupReport,
): Promise<void> {
  for (const result of results) await alertBackupOf(context, run, result);
  const hasFailed = (name: string) =>
    results.some(({ server, database }) => server === name && database === null);
  for (const name of listed) if (!hasFailed(name)) await resolveAlert(context, `backup ${name}`);
  if (run.outcome !== "OK") return;
  await alertSuccess(context, run, `backed up ${counted(results.length, "database")}`);
}

async function alertBackupOf(context: AlertContext, run: RunRecord, result: BackupResult): Promise<void> {
  const { server, database, status, backup_id, copies, error } = result;
  const name = database === null ? server : `${server}/${database}`;
  const key = `backup ${name}`;
  const backup = backup_id === null ? undefined : await context.catalog.backup(backup_id);
  if (backup) await alertIfShrunk(context, backup);
  if (status === "VERIFIED") return resolveAlert(context, key);
  const { cause, server: _server, database: _database, error: _error, ...metadata } = result;
  const isLocked = cause instanceof Pg321Error && cause.code === "locked";
  const lacking = copies.filter(({ state }) => state !== "CONFIRMED");
  const reasons = lacking.map((copy) => copy.error ?? `${copy.storage}: ${copy.state}`).join("; ");
  await raiseAlert(context, {
    level: status === "FAILED" && !isLocked ? "CRITICAL" : "WARNING",
    job: "backup",
    run_id: run.id,
    server,
    database,
    key,
    message:
      status === "FAILED"
        ? `backup of ${name} failed: ${error}`
        : `backup of ${name}: ${lacking.length} of ${counted(copies.length, "copy", "copies")} failed: ${reasons}`,
    metadata: { ...metadata, statistics: run.statistics },
  });
}

/** One alert for each database and storage with copies that are not good. */
export async function alertVerify(context: AlertContext, { run, verdicts }: VerifyReport): Promise<void> {
  const outcomes = verdicts.map((verdict) => ({ ...verdict, isGood: verdict.verdict === "good" }));
  await alertCopies(context, run, outcomes, (bad) => (bad === 1 ? "is not good" : "are not good"));
  if (run.outcome === "OK")
    await alertSuccess(context, run, `verified ${counted(verdicts.length, "copy", "copies")}`);
}

/** One alert for each database and storage whose copies could not be filled. */
export async function alertRepair(context: AlertContext, { run, results }: RepairReport): Promise<void> {
  const outcomes = results.map((result) => ({ ...result, isGood: result.outcome === "filled" }));
  await alertCopies(context, run, outcomes, () => "could not be filled");
  if (run.outcome === "OK")
    await alertSuccess(context, run, `filled ${counted(results.length, "copy", "copies")}`);
}

/** Errors that a message names, and those that go along with it: mail, chats and webhooks have bounds. */
const ERRORS_IN_MESSAGE = 3;
const ERRORS_IN_METADATA = 50;

export async function alertRestore(context: AlertContext, report: RestoreReport): Promise<void> {
  const { run, backup, errors_ignored, errors } = report;
  const { server, database } = backup;
  const named = errors.slice(0, ERRORS_IN_MESSAGE).map(faultText).join("; ");
  const more = errors.length > ERRORS_IN_MESSAGE ? "; …" : "";
  const ignored =
    errors_ignored > 0 ? `; ${counted(errors_ignored, "error")} of pg_restore ignored: ${named}${more}` : "";
  await raiseAlert(context, {
    level: run.outcome === "OK" ? "INFO" : "WARNING",
    job: "restore",
    run_id: run.id,
    server,
    database,
    key: "restore",
    message: `restored backup ${backup.id} of ${server}/${database}${ignored}`,
    // The record of the run has all of them.
    metadata: { ...run.statistics, errors: errors.slice(0, ERRORS_IN_METADATA) },
    isEvent: true,
  });
}

/**
 * A copy that a job met damaged or missing while it read it for another purpose: the same trouble as when a
 * verification finds it.
 */
export async function alertDamage(
  context: AlertContext,
  job: Job,
  copy: Pick<CopyOutcome, "server" | "database" | "storage"> & { id: string; error: string },
): Promise<void> {
  const { id, server, database, storage, error } = copy;
  const isLost = (await context.catalog.backup(id))?.status === "FAILED";
  await raiseAlert(context, {
    level: isLost ? "CRITICAL" : "WARNING",
    job,
    run_id: null,
    server,
    database,
    key: `verify ${placeOf(copy)}`,
    message:
      `a copy of ${server}/${database} in ${storage} is not good` +
      `${isLost ? "; its backup lost the last good copy" : ""}: ${error}`,
    metadata: { storage, backup_ids: [id], lost: isLost ? 1 : 0 },
  });
}

interface CopyOutcome {
  backup_id: string;
  server: string;
  database: string;
  storage: string;
  isGood: boolean;
  error: string | null;
}

async function alertCopies(
  context: AlertContext,
  run: RunRecord,
  outcomes: readonly CopyOutcome[],
  problem: (bad: number) => string,
): Promise<void> {
  const unsound = await placesWithDamage(context);
  const isTotal = outcomes.every(({ isGood }) => !isGood);
  for (const [place, copies] of Map.groupBy(outcomes, placeOf)) {
    const bad = copies.filter(({ isGood }) => !isGood);
    const [first] = bad;
    if (!first) {
      // What a look at some of the copies did not see may still be damaged.
      if (unsound.has(place)) continue;
      for (const job of ["verify", "repair"]) await resolveAlert(context, `${job} ${place}`);
      continue;
    }
    const { server, database, storage } = first;
    const lost = await lostAmong(context, bad);
    const ofAll = `${bad.length} of ${counted(copies.length, "copy", "copies")}`;
    const loss = lost > 0 ? `; ${counted(lost, "backup")} lost the last good copy` : "";
    await raiseAlert(context, {
      level: isTotal || lost > 0 ? "CRITICAL" : "WARNING",
      job: run.job,
      run_id: run.id,
      server,
      database,
      key: `${run.job} ${place}`,
      message: `${ofAll} of ${server}/${database} in ${storage} ${problem(bad.length)}${loss}: ${first.error}`,
      metadata: {
        storage,
        backup_ids: bad.slice(0, 20).map(({ backup_id }) => backup_id),
        lost,
        statistics: run.statistics,
      },
    });
  }
}

function placeOf({
  server,
  database,
  storage,
}: Pick<CopyOutcome, "server" | "database" | "storage">): string {
  return `${server}/${database} ${storage}`;
}

/** The databases and storages with a copy that is known to be damaged or missing. */
async function placesWithDamage({ catalog }: AlertContext): Promise<Set<string>> {
  const places = new Set<string>();
  for (const { backup_id, storage } of await catalog.copiesInState(["DAMAGED", "MISSING"])) {
    const backup = await catalog.backup(backup_id);
    if (backup) places.add(placeOf({ ...backup, storage }));
  }
  return places;
}

/** How many backups have no good copy left anywhere. */
async function lostAmong({ catalog }: AlertContext, copies: readonly CopyOutcome[]): Promise<number> {
  const backups = await Promise.all(
    [...new Set(copies.map((copy) => copy.backup_id))].map((id) => catalog.backup(id)),
  );
  return backups.filter((backup) => backup?.status === "FAILED").length;
}

async function alertSuccess(context: AlertContext, run: RunRecord, message: string): Promise<void> {
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

/** `1 copy`, `2 copies`. */
export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
