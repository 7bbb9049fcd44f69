import { alertTests } from "../../alerts/restore-test-alerts.ts";
import { type ErrorCode, messageOf, Pg321Error } from "../../base/errors.ts";
import { underLease } from "../../catalog/fleet/fenced-catalog.ts";
import { backupName } from "../../catalog/globals.ts";
import { holdLease } from "../../catalog/lease.ts";
import type { BackupRecord, RestoreTestRecord, RunOutcome, RunRecord } from "../../catalog/records.ts";
import type { JobContext } from "../context.ts";
import { leaveResult } from "../copies/restore-results.ts";
import { recognizeStorages } from "../markers/storage-identity.ts";
import { countingDatabases } from "../progress.ts";
import { recordRun } from "../record-run.ts";
import { sweepScratch } from "../scratch/sweep.ts";
import { chooseBackups, storagesInTurn } from "./choose.ts";
import { noteRemoved } from "./removed.ts";
import type { RestoreTestReport, RestoreTestStatistics } from "./report.ts";
import { testCopy } from "./test-copy.ts";

export interface RestoreTestOptions {
  /** Names of databases and ids of backups; the newest good backup of each database if empty. */
  words?: readonly string[];
  /** The name of the only database to test, instead of `words`. */
  database?: string | undefined;
  /** Only databases that it selects. */
  selects?: (server: string, database: string) => boolean;
  /** The only storage to read from. */
  from?: string | undefined;
  /**
   * Adds the backups that another host has made to the catalog first; then the results are left beside them for that
   * host. Undefined: only this host's own backups are tested.
   */
  adopt?: Adopt | undefined;
}

/** Adopts the backups in all storages; returns why a storage could not be read. */
export type Adopt = (context: JobContext) => Promise<readonly { storage: string; error: string | null }[]>;

/** The job's lease on this host: tests share the disk space that one of them has checked. */
function leaseOfTests({ catalog, host }: Pick<JobContext, "catalog" | "host">): string {
  return catalog.isShared ? `restore-test ${host}` : "restore-test";
}

/**
 * Restores the newest good backup of each database into a scratch database, checks it and drops it again. A copy that is
 * damaged or out of reach is reported, and the test continues with the next storage.
 */
export async function runRestoreTests(
  context: JobContext,
  { words = [], database, selects = () => true, from, adopt }: RestoreTestOptions = {},
): Promise<RestoreTestReport> {
  const unread = adopt ? await adoptFirst(context, adopt) : [];
  const backups = await chooseBackups(context, { words, database, selects });
  await using lease = await holdLease(
    context.catalog,
    { name: leaseOfTests(context), runId: crypto.randomUUID(), host: context.host, pid: context.pid },
    { clock: context.clock, signal: context.signal },
  );
  const leased = underLease(context, lease);
  const tests: RestoreTestRecord[] = [];
  const codes: ErrorCode[] = [];
  /** Why results could not be left in a storage. */
  const unleft: string[] = [];
  const work = async (run: RunRecord) => {
    if (backups.length === 0) return nothingToTest(context);
    if (await needsIdentity(leased, backups)) throw noIdentity();
    const recognized = await recognizeStorages(leased, "restore-test");
    await sweepScratch(recognized);
    const results: RestoreTestRecord[] = [];
    using count = countingDatabases(context.progress, "restore test", backups.length);
    for (const backup of backups) {
      const tried = await testBackup(recognized, run, backup, from, codes);
      tests.push(...tried);
      results.push(...tried.slice(-1));
      await alertTests(recognized, run.id, tried);
      if (adopt) unleft.push(...(await leaveResults(recognized, backup, tried)));
      count.done();
    }
    const lacking = [...unread, ...unleft];
    if (lacking.length > 0) codes.push("storage");
    const outcome = outcomeOf(tests);
    return {
      outcome: lacking.length > 0 && outcome === "OK" ? "PARTIAL" : outcome,
      statistics: statisticsOf(results),
      error: firstError(tests) ?? lacking[0] ?? null,
    };
  };
  const isPart = words.length > 0 || database !== undefined || from !== undefined;
  const { run } = await recordRun(leased, "restore-test", work, { isPart });
  return { run, tests, codes };
}

async function testBackup(
  context: JobContext,
  run: RunRecord,
  backup: BackupRecord,
  from: string | undefined,
  codes: ErrorCode[],
): Promise<RestoreTestRecord[]> {
  const tried: RestoreTestRecord[] = [];
  for (const storage of await storagesInTurn(context, backup, from)) {
    const { record, isOfCopy, error } = await testCopy(context, run, backup, storage);
    await context.catalog.restoreTests.add(record);
    tried.push(record);
    if (record.outcome === "ERROR" && error instanceof Pg321Error) codes.push(error.code);
    if (!isOfCopy) break;
    context.log.warning("a copy could not be restored; the test continues with the next storage", {
      ...{ storage: storage.name, backup_id: backup.id, error: record.error ?? "" },
    });
  }
  return tried;
}

/** Returns why storages could not be read: newer backups may be there. */
async function adoptFirst(context: JobContext, adopt: Adopt): Promise<string[]> {
  const unread: string[] = [];
  for (const { storage, error } of await adopt(context)) {
    if (error === null) continue;
    context.log.warning("a storage could not be read; backups known from before are tested", {
      storage,
      error,
    });
    unread.push(`storage "${storage}" could not be read: ${error}`);
  }
  await noteRemoved(context);
  return unread;
}

/** Returns the errors of those that could not be left: then the host that made the backup learns nothing. */
async function leaveResults(
  context: JobContext,
  backup: BackupRecord,
  tried: readonly RestoreTestRecord[],
): Promise<string[]> {
  const errors: string[] = [];
  for (const record of tried) {
    try {
      await leaveResult(context, backup, record);
    } catch (cause) {
      context.signal.throwIfAborted();
      const error = messageOf(cause);
      context.log.error("the result of a restore test could not be left", {
        storage: record.storage ?? "",
        error,
      });
      errors.push(`the result could not be left in storage "${record.storage}": ${error}`);
    }
  }
  return errors;
}

/** A scheduled run without any good backup is IDLE. */
function nothingToTest({ schedule }: JobContext): {
  outcome: RunOutcome;
  statistics: RestoreTestStatistics;
  error: string;
} {
  const error = "there is no good backup to test";
  if (schedule) return { outcome: "IDLE", statistics: statisticsOf([]), error };
  throw new Pg321Error("verification", error, { hint: "make one with pg321 backup" });
}

/** An identity that is missing says nothing about a backup: fail once, before any test. */
async function needsIdentity({ keys }: JobContext, backups: readonly BackupRecord[]): Promise<boolean> {
  return backups.some(({ encryption }) => encryption === "age") && (await keys.identity()) === undefined;
}

function noIdentity(): Pg321Error {
  return new Pg321Error("key", "this host has no identity, so it cannot test a restore", {
    hint: "set encryption.identity_file, or test on another host that has the identity",
  });
}

function outcomeOf(tests: readonly RestoreTestRecord[]): RunOutcome {
  if (tests.every(({ outcome }) => outcome === "PASSED")) return "OK";
  return tests.some(({ outcome }) => outcome === "PASSED") ? "PARTIAL" : "FAILED";
}

function statisticsOf(results: readonly RestoreTestRecord[]): RestoreTestStatistics {
  const count = (wanted: RestoreTestRecord["outcome"]) =>
    results.filter(({ outcome }) => outcome === wanted).length;
  return {
    databases: results.length,
    passed: count("PASSED"),
    failed: count("FAILED"),
    errors: count("ERROR"),
  };
}

function firstError(tests: readonly RestoreTestRecord[]): string | null {
  const failed =
    tests.find(({ outcome }) => outcome === "FAILED") ?? tests.find(({ error }) => error !== null);
  return failed ? `${backupName(failed)}: ${failed.error}` : null;
}
