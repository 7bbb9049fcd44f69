import { messageOf } from "../../base/errors.ts";
import { holdLease } from "../../catalog/lease.ts";
import type { RunOutcome } from "../../catalog/records.ts";
import type { Storage } from "../../storage/storage.ts";
import type { JobContext } from "../context.ts";
import { CopyLooks } from "../copies/looks.ts";
import { reconcile } from "../copies/reconcile.ts";
import { recognizeStorages } from "../identity/storage-identity.ts";
import { recordRun } from "../record-run.ts";
import { raiseCleanupAlerts, tellOfFutureBackups } from "./alerts.ts";
import { byDatabase, expireCopies } from "./expire-copies.ts";
import { adopt, orphansIn, recordedKeys } from "./orphans.ts";
import { decisionsOf, planCleanup, planRun } from "./plan.ts";
import { pruneCatalog } from "./prune-catalog.ts";
import { removeEmptyRecords } from "./remove-records.ts";
import type { CleanupPreview, CleanupReport } from "./report.ts";
import { CleanupTally } from "./report.ts";
import { removeTemporaryFiles } from "./temporary-files.ts";

export interface CleanupOptions {
  /** The plan hash that somebody has looked at and confirmed. */
  confirm?: string | undefined;
  /** Take orphans with a good manifest into the catalog. */
  adopt?: boolean;
}

/** The lease of the job: there is one cleanup at a time. */
const LEASE = "cleanup";

/** What a cleanup would do with each copy, and why. Changes nothing. */
export async function previewCleanup(
  context: JobContext,
  { confirm }: CleanupOptions,
): Promise<CleanupPreview> {
  const { clock } = context;
  const startedAtMs = clock.monotonicMs();
  const tally = new CleanupTally(context.storages.map(({ name }) => name));
  for (const storage of context.storages) {
    await guarded(context, tally, storage, async () => {
      for (const { key, sizeBytes } of await orphansIn(context, storage))
        tally.orphan({ storage: storage.name, key, size_bytes: sizeBytes });
    });
  }
  await using opened = new AsyncDisposableStack();
  const snapshot = opened.use(await context.catalog.retained());
  const databases = new Set<string>();
  const plan = await planCleanup(context, snapshot, { confirm }, ({ server, database }) =>
    databases.add(`${server}/${database}`),
  );
  tally.plan(plan);
  tally.statistics.duration_ms = Math.round(clock.monotonicMs() - startedAtMs);
  const all = opened.move();
  return {
    statistics: tally.statistics,
    orphans: tally.orphans,
    databases: [...databases],
    decisions: () => decisionsOf(plan, snapshot),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/**
 * Removes what retention lets go, then what it leaves behind, past every single failure. Throws code
 * `locked` when another cleanup runs, and what the catalog throws.
 */
export async function runCleanup(context: JobContext, options: CleanupOptions): Promise<CleanupReport> {
  await using lease = await holdLease(
    context.catalog,
    { name: LEASE, runId: crypto.randomUUID(), host: context.host, pid: context.pid },
    { clock: context.clock, signal: context.signal },
  );
  const leased = { ...context, signal: lease.signal };
  const tally = new CleanupTally(context.storages.map(({ name }) => name));
  const { run, statistics } = await recordRun(leased, "cleanup", async ({ id }) => {
    const startedAtMs = context.clock.monotonicMs();
    // Without the signers that are trusted nothing can be adopted: told once, before all objects are listed.
    if (options.adopt) await context.keys.trustedSigners();
    const recognized = await recognizeStorages(leased, "cleanup");
    await reconcile(recognized);
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
  const { outline, clockSuspicion, clockTrust } = plan;
  tally.plan(plan);
  if (clockTrust) await context.catalog.clockRecords.setTrust(clockTrust);
  tally.decisions = going.told;
  tally.guarded = going.guarded;
  await tellOfFutureBackups(context, outline, clockTrust);
  const looks = new CopyLooks(context, (copy) => {
    statistics.missing++;
    tally.fail(copy.storage, copy.object_key, `missing: ${copy.error}`);
  });
  const expiry = { context, runId, going, newestGood: byDatabase(outline), tally, looks };
  // 1. and 2.: copies on this host, then those in buckets.
  await expireCopies(expiry, "local");
  await expireCopies(expiry, "s3");
  // 3. Records of backups that have no copy left.
  statistics.records_deleted = await removeEmptyRecords(context);
  // 4. Temporary files, multipart uploads and the history, whose age a wrong clock would tell wrongly, too.
  if (clockSuspicion === undefined || outline.isConfirmed) {
    await sweep(context, tally);
    const { runs, alerts, deliveries } = await pruneCatalog(context);
    statistics.runs_pruned = runs;
    statistics.alerts_pruned = alerts;
    statistics.deliveries_pruned = deliveries;
  }
  // 5. Objects that no record knows.
  for (const storage of context.storages)
    await guarded(context, tally, storage, () =>
      reportOrphans(context, tally, storage, options.adopt === true),
    );
  // What waits is to be confirmed as it is now, without what has gone.
  if (outline.suspended.length === 0) return;
  await using snapshot = await context.catalog.retained();
  statistics.plan_hash = (await planCleanup(context, snapshot, { runId })).outline.planHash;
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
    const keys = () => settledKeys(context, storage);
    await guarded(context, tally, storage, async () => {
      if (storage.settings.type === "local")
        statistics.temporary_files_deleted += await storage.sweep(filesBefore, context.signal, keys);
      else {
        const uploadsBefore = before(config.cleanup.upload_max_age_ms);
        statistics.multipart_uploads_aborted += await storage.sweep(uploadsBefore, context.signal, keys);
      }
    });
  }
}

/** Without those of copies that are under way, or that reconciliation undoes: they may be older than a week. */
async function* settledKeys(context: JobContext, storage: Storage): AsyncGenerator<string[]> {
  const intended = new Set(
    (await context.catalog.copiesInState(["INTENDED"])).map((copy) => copy.object_key),
  );
  for await (const keys of recordedKeys(context, storage)) yield keys.filter((key) => !intended.has(key));
}

async function reportOrphans(
  context: JobContext,
  tally: CleanupTally,
  storage: Storage,
  isAdopting: boolean,
): Promise<void> {
  const orphans = await orphansIn(context, storage);
  const adopted = isAdopting ? await adopt(context, storage, orphans) : [];
  tally.statistics.adopted += adopted.length;
  const left = isAdopting ? await orphansIn(context, storage) : orphans;
  for (const { key, sizeBytes } of left) tally.orphan({ storage: storage.name, key, size_bytes: sizeBytes });
}

/** What one storage refuses must not keep the others from being cleaned up. */
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
    const told = { storage: storage.name, error: messageOf(error) };
    // Each step of the run meets the same trouble.
    if (tally.hasFailed(told.storage, told.error)) return;
    tally.fail(told.storage, null, told.error);
    context.log.error("a storage could not be cleaned up", told);
  }
}

function outcomeOf(tally: CleanupTally): RunOutcome {
  const { errors, suspended, missing, records_deleted, temporary_files_deleted } = tally.statistics;
  const troubles =
    errors.length + suspended.length + missing + tally.total("hidden") + tally.total("overdue");
  if (troubles === 0) return "OK";
  const done = tally.total("deleted") + tally.total("archived") + records_deleted + temporary_files_deleted;
  return done === 0 && tally.total("failed") > 0 ? "FAILED" : "PARTIAL";
}
