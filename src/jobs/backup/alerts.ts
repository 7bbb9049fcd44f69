import { raiseAlert, resolveAlert } from "../../alerts/alert.ts";
import type { AlertContext } from "../../alerts/alert-context.ts";
import { shareText } from "../../alerts/copy-alerts.ts";
import { alertPasswords, globalsKey, passwordsKey } from "../../alerts/password-alerts.ts";
import { alertSuccess } from "../../alerts/run-alerts.ts";
import { alertIfShrunk } from "../../alerts/shrink.ts";
import { alertUnmatched } from "../../alerts/unmatched-alerts.ts";
import { Pg321Error } from "../../base/errors.ts";
import { plural } from "../../base/text/amounts.ts";
import { shellQuoted } from "../../base/text/shell.ts";
import { copyWord } from "../../base/text/states.ts";
import { backupName, isGlobalsPlace } from "../../catalog/globals.ts";
import type { RunRecord } from "../../catalog/records.ts";
import { alertLag } from "../standby/lag-alert.ts";
import { alertHooks } from "./hook-alerts.ts";
import type { BackupReport, BackupResult } from "./report.ts";
import { alertBackupStorages, presentDatabases, storagesWithout } from "./storage-alerts.ts";

/**
 * One alert for each database that failed or lacks copies (for each storage, if several lack theirs there), and one for a
 * run in which everything succeeded.
 */
export async function alertBackup(
  context: AlertContext,
  { run, results, globals, listed }: BackupReport,
): Promise<void> {
  const covered = await alertBackupStorages(context, run, results);
  for (const result of results) {
    await alertShrink(context, result);
    if (!covered.has(result)) await alertBackupOf(context, run, result);
  }
  for (const { backup_id } of globals) await alertGlobals(context, backup_id);
  for (const result of globals) if (!isExplained(result, results)) await alertBackupOf(context, run, result);
  await endOfServers(context, results, listed);
  await alertLags(context, run, results);
  if (run.outcome !== "OK") return;
  await alertSuccess(context, run, `backed up ${plural(results.length, "database")}`);
}

async function alertLags(
  context: AlertContext,
  run: RunRecord,
  results: readonly BackupResult[],
): Promise<void> {
  for (const server of context.config.server) {
    const lags = results.flatMap((result) =>
      result.server === server.name && result.standby_lag_ms !== null ? [result.standby_lag_ms] : [],
    );
    if (lags.length > 0) await alertLag(context, run.id, server, Math.max(...lags));
  }
}

/**
 * Resolves the alerts about servers that are listed again. A server without any selected database keeps its alert: a run
 * of named databases, or of those of another server, does not report that again.
 */
async function endOfServers(
  context: AlertContext,
  results: readonly BackupResult[],
  listed: readonly string[],
): Promise<void> {
  const present = await presentDatabases(context);
  for (const name of listed) {
    if (context.config.server.some((server) => server.name === name && !server.globals))
      for (const key of [globalsKey(name), passwordsKey(name)])
        await resolveAlert(context, key, `the config no longer asks for the globals of ${name}`);
    const own = results.filter(({ server }) => server === name);
    if (own.some(({ database }) => database === null)) continue;
    if (own.length > 0 || present.some(({ server }) => server === name))
      await resolveAlert(context, `backup ${name}`, `the databases of server ${name} are listed again`);
  }
}

/** Whether the globals lack only copies in storages that failed for a database too: the alert about that is enough. */
function isExplained(result: BackupResult, results: readonly BackupResult[]): boolean {
  const bad = storagesWithout(result);
  const known = new Set(results.flatMap(storagesWithout));
  return bad.length > 0 && bad.every((storage) => known.has(storage));
}

async function alertGlobals(context: AlertContext, id: string | null): Promise<void> {
  const backup = id === null ? undefined : await context.catalog.backup(id);
  if (backup) await alertPasswords(context, backup);
}

async function alertShrink(context: AlertContext, { backup_id }: BackupResult): Promise<void> {
  const backup = backup_id === null ? undefined : await context.catalog.backup(backup_id);
  if (!backup) return;
  await alertIfShrunk(context, backup);
  await alertUnmatched(context, backup);
  await alertHooks(context, backup);
}

async function alertBackupOf(context: AlertContext, run: RunRecord, result: BackupResult): Promise<void> {
  const { server, database, status, copies, error } = result;
  const isGlobals = isGlobalsPlace(result);
  const name = database === null ? server : backupName({ server, database });
  const key = `backup ${name}`;
  if (status === "VERIFIED")
    return resolveAlert(context, key, `${name} is backed up again, to every storage`);
  const { cause, server: _server, database: _database, error: _error, ...metadata } = result;
  const isLocked = cause instanceof Pg321Error && cause.code === "locked";
  const lacking = copies.filter(({ state }) => state !== "CONFIRMED");
  const reasons = lacking
    .map((copy) => copy.error ?? `storage "${copy.storage}": ${copyWord(copy.state)}`)
    .join("; ");
  await raiseAlert(context, {
    level: status === "FAILED" && !isLocked ? "CRITICAL" : "WARNING",
    job: "backup",
    run_id: run.id,
    server,
    database: isGlobals ? null : database,
    key,
    message:
      status === "FAILED"
        ? `backup of ${name} failed: ${error}`
        : `backup of ${name}: ${shareText(lacking.length, copies.length)} failed: ${reasons}`,
    metadata: { ...metadata, statistics: run.statistics, hint: metadata.hint ?? hintFor(result, name) },
  });
}

/** The next step, if the error has none. */
function hintFor({ copies, database, status }: BackupResult, name: string): string {
  if (database === null) return "correct the reason; the next backup tries again";
  if (status === "FAILED" && isGlobalsPlace({ database }))
    return "correct the reason; the next backup of the server tries again";
  if (status === "FAILED") return `correct the reason, then run: pg321 backup ${shellQuoted(name)}`;
  const first = copies.find(({ hint }) => hint !== null)?.hint;
  const fill = "then fill the missing copies from a good one, with: pg321 repair";
  return first == null ? `correct the reason, ${fill}` : `${first}; ${fill}`;
}
