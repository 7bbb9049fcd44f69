import { messageOf } from "../../base/errors.ts";
import { timeText } from "../../base/text/zoned-time.ts";
import type { RunOutcome } from "../../catalog/records.ts";
import { requireReachable } from "../../catalog/spool/reachable.ts";
import type { Storage } from "../../storage/storage.ts";
import type { JobContext } from "../context.ts";
import { CopyChecks } from "../copies/checks.ts";
import { removeProbes } from "../copies/lock-probe.ts";
import { reconcile } from "../copies/reconcile.ts";
import { intendedCopies, remainsLockedUntil, remainsText } from "../copies/remove-intended.ts";
import { collectResults } from "../copies/restore-results.ts";
import { recognizeStorages } from "../markers/storage-identity.ts";
import { requireOwner } from "../owner.ts";
import { recordRun } from "../record-run.ts";
import { registerHost } from "../register-host.ts";
import { sweepScratch } from "../scratch/sweep.ts";
import { adoptionOf } from "./adopt-orphans.ts";
import { alertFutureBackups, raiseCleanupAlerts } from "./alerts.ts";
import { archiveGlobals, previewGlobals } from "./archive-globals.ts";
import { holdCleanup } from "./cleanup-lease.ts";
import { byDatabase, expireCopies } from "./expire-copies.ts";
import { orphansIn, settledKeys } from "./orphans.ts";
import { decisionsOf, planAtOneMoment, planCleanup, planRun } from "./plan.ts";
import { pruneCatalog } from "./prune-catalog.ts";
import { removeEmptyRecords } from "./remove-records.ts";
import { renewLocks } from "./renew-locks.ts";
import type { CleanupPreview, CleanupReport } from "./report.ts";
import { CleanupTally } from "./report.ts";
import { countOrphans, searchOrphans } from "./search-orphans.ts";
import { removeTemporaryFiles } from "./temporary-files.ts";

export interface CleanupOptions {
  /** The hash of the plan that a person has reviewed and confirmed. */
  confirm?: string | undefined;
  /** Take orphans with a good manifest into the catalog. */
  adopt?: boolean;
}

/** Shows what a cleanup would do with each copy, and why. Changes nothing. */
export async function previewCleanup(
  context: JobContext,
  { confirm, adopt: isAdopting = false }: CleanupOptions,
): Promise<CleanupPreview> {
  const { clock } = context;
  requireReachable(context.catalog, "cleanup");
  const startedAtMs = clock.monotonicMs();
  const tally = new CleanupTally(context.storages.map(({ name }) => name));
  if (isAdopting) await context.keys.trustedSigners();
  for (const storage of context.storages) {
    await guarded(context, tally, storage, async () => {
      for await (const { orphans } of orphansIn(context, storage)) {
        const { adopted, left } = isAdopting
          ? await adoptionOf(context, storage, orphans)
          : { adopted: 0, left: orphans };
        tally.statistics.adopted += adopted;
        tally.foundOrphans(...countOrphans(storage, left));
      }
    });
  }
  await using opened = new AsyncDisposableStack();
  const open = async () => opened.use(await context.catalog.retained());
  const databases = new Set<string>();
  const plan = await planCleanup(context, open, { confirm }, (decisions) => {
    for (const { server, database } of decisions) databases.add(`${server}/${database}`);
  });
  tally.plan(plan);
  await previewGlobals(context, decisionsOf(plan), tally);
  tally.statistics.duration_ms = Math.round(clock.monotonicMs() - startedAtMs);
  const all = opened.move();
  return {
    statistics: tally.statistics,
    orphans: tally.orphans,
    databases: [...databases],
    decisions: () => decisionsOf(plan),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/**
 * Removes expired copies, then records, files and uploads that are no longer needed. It continues after every single
 * failure. Throws code `locked` if another cleanup is running, and whatever the catalog throws.
 */
export async function runCleanup(context: JobContext, options: CleanupOptions): Promise<CleanupReport> {
  requireOwner("cleanup", context.config);
  await registerHost(context);
  await using right = await holdCleanup(context);
  const leased = right.context;
  const tally = new CleanupTally(context.storages.map(({ name }) => name));
  const { run, statistics } = await recordRun(leased, "cleanup", async ({ id }) => {
    const startedAtMs = context.clock.monotonicMs();
    // Nothing can be adopted without the trusted signers: fail once, before listing all objects.
    if (options.adopt) await context.keys.trustedSigners();
    const recognized = await recognizeStorages(leased, "cleanup");
    await collectResults(recognized);
    await reconcile(recognized);
    await sweepScratch(recognized);
    await cleanUp(recognized, id, tally, options);
    tally.statistics.duration_ms = Math.round(context.clock.monotonicMs() - startedAtMs);
    const [first] = tally.statistics.errors;
    return { outcome: outcomeOf(tally), statistics: tally.statistics, error: first?.error ?? null };
  });
  await raiseCleanupAlerts(leased, run, tally);
  return { run, statistics, decisions: tally.decisions, orphans: tally.orphans };
}

async function cleanUp(
  context: JobContext,
  runId: string,
  tally: CleanupTally,
  options: CleanupOptions,
): Promise<void> {
  const { statistics } = tally;
  const { plan, going } = await planRun(context, runId, options);
  await using _ = going;
  const { outline, clockSuspicion, clockTrust } = plan;
  tally.plan(plan);
  if (clockTrust) await context.catalog.clockRecords.setTrust(clockTrust);
  tally.decisions = going.listed;
  tally.guarded = going.guarded;
  await alertFutureBackups(context, outline, clockTrust);
  // No lock can be taken back, so none is made with a clock that may be wrong.
  if (clockSuspicion === undefined || outline.isConfirmed) await renewLocks(context, going.locks, tally);
  const looks = new CopyChecks(context, (copy) => {
    statistics.missing++;
    tally.fail(copy.storage, copy.object_key, `missing: ${copy.error}`);
  });
  const expiry = { context, runId, going, newestGood: byDatabase(outline), tally, looks };
  // 1. and 2. Copies on this host, then those in buckets.
  await expireCopies(expiry, "local");
  await expireCopies(expiry, "s3");
  await archiveGlobals(context, runId, tally);
  // 3. Records of backups that have no copy left.
  statistics.records_deleted = await removeEmptyRecords(context);
  // 4. Temporary files, multipart uploads and the history, whose age would also be wrong if the clock is.
  if (clockSuspicion === undefined || outline.isConfirmed) {
    await sweep(context, tally);
    await removeProbes(context, (probe, error) => tally.fail(probe.storage, probe.object_key, error));
    const { runs, alerts, deliveries } = await pruneCatalog(context);
    statistics.runs_pruned = runs;
    statistics.alerts_pruned = alerts;
    statistics.deliveries_pruned = deliveries;
  }
  await noteLockedRemains(context, tally);
  // 5. Orphans: objects without a record.
  for (const storage of context.storages)
    await guarded(context, tally, storage, () =>
      reportOrphans(context, tally, storage, options.adopt === true),
    );
  // The hash to confirm is that of the remaining plan, without the copies already removed.
  if (outline.suspended.length === 0) return;
  statistics.plan_hash = (await planAtOneMoment(context, { runId })).outline.planHash;
}

async function sweep(context: JobContext, tally: CleanupTally): Promise<void> {
  const { clock, config } = context;
  const { statistics } = tally;
  const before = (ageMs: number) => new Date(clock.now().getTime() - ageMs);
  const filesBefore = before(config.cleanup.temp_max_age_ms);
  statistics.temporary_files_deleted = await removeTemporaryFiles(
    config.temp_dir,
    filesBefore,
    (file, error) => tally.fail("temp_dir", file, error),
  );
  for (const storage of context.storages) {
    const ours = (keys: readonly string[]) => settledKeys(context, storage, keys);
    await guarded(context, tally, storage, async () => {
      if (storage.settings.type === "local")
        statistics.temporary_files_deleted += await storage.sweep(filesBefore, context.signal, ours);
      else {
        const uploadsBefore = before(config.cleanup.upload_max_age_ms);
        statistics.multipart_uploads_aborted += await storage.sweep(uploadsBefore, context.signal, ours);
      }
    });
  }
}

async function reportOrphans(
  context: JobContext,
  tally: CleanupTally,
  storage: Storage,
  isAdopting: boolean,
): Promise<void> {
  const onAdopted = (copies: number) => {
    tally.statistics.adopted += copies;
  };
  const search = await searchOrphans(context, storage, { isAdopting, onAdopted });
  const { named, resumed, ...count } = search;
  tally.foundOrphans(count, named);
  if (resumed)
    tally.note(
      storage.name,
      resumed.afterKey,
      `the search for objects without a record went on after this key; it began at ${timeText(resumed.beganAt)}`,
    );
}

/** Runs one step in one storage. A failure is recorded and does not stop the cleanup of the other storages. */
async function guarded(
  context: JobContext,
  tally: CleanupTally,
  storage: Storage,
  work: () => Promise<void>,
): Promise<void> {
  try {
    await work();
  } catch (error) {
    context.signal.throwIfAborted();
    const failure = { storage: storage.name, error: messageOf(error) };
    // Every step of the run may fail for the same reason: report it once.
    if (tally.hasFailed(failure.storage, failure.error)) return;
    tally.fail(failure.storage, null, failure.error);
    context.log.error("a storage could not be cleaned up", failure);
  }
}

function outcomeOf(tally: CleanupTally): RunOutcome {
  const { errors, suspended, missing, records_deleted, temporary_files_deleted } = tally.statistics;
  const problems =
    errors.length + suspended.length + missing + tally.total("hidden") + tally.total("overdue");
  if (problems === 0) return "OK";
  const done = tally.total("deleted") + tally.total("archived") + records_deleted + temporary_files_deleted;
  return done === 0 && tally.total("failed") > 0 ? "FAILED" : "PARTIAL";
}

/** Shows which remains of interrupted copies no run can remove yet. */
async function noteLockedRemains(context: JobContext, tally: CleanupTally): Promise<void> {
  const { clock, storages } = context;
  for await (const copy of intendedCopies(context)) {
    const storage = storages.find(({ name }) => name === copy.storage);
    const until = storage && remainsLockedUntil(storage.settings, copy, clock.now());
    if (until !== undefined) tally.note(copy.storage, copy.object_key, remainsText(until));
  }
}
