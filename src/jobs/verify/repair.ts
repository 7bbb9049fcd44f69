import { hintOf, messageOf, Pg321Error } from "../../base/errors.ts";
import { timeText } from "../../base/text/zoned-time.ts";
import { leaseName } from "../../catalog/database-lease.ts";
import { underLease } from "../../catalog/fleet/fenced-catalog.ts";
import { backupName } from "../../catalog/globals.ts";
import { holdLease, isAwaited } from "../../catalog/lease.ts";
import type { CopyRecord } from "../../catalog/records.ts";
import type { Storage, StoredObject } from "../../storage/storage.ts";
import type { JobContext } from "../context.ts";
import { settleStatus } from "../copies/backup-status.ts";
import { lockFor, lockStoredCopy } from "../copies/locks.ts";
import { manifestKey, shortId } from "../copies/object-key.ts";
import { maxPartsOf, partBytesFor } from "../copies/part-size.ts";
import { reconcile } from "../copies/reconcile.ts";
import { removeObject } from "../copies/removal.ts";
import { LockedInPlace } from "../copies/remove-intended.ts";
import type { StoredBackup } from "../copies/steps.ts";
import { clearTheKey, fillCopy, hasManifest, intendedCopy } from "../copies/steps.ts";
import { putManifest, readWhole, storedAt } from "../copies/stored-object.ts";
import { LongList } from "../long-list.ts";
import { recognizeStorages } from "../markers/storage-identity.ts";
import { requireOwner } from "../owner.ts";
import { ProgressMeter } from "../progress.ts";
import { recordRun } from "../record-run.ts";
import { alertRepair } from "./alerts.ts";
import { olderSources, putOnTop } from "./put-on-top.ts";
import { isStored, type LackingBackup, LOST, lackingBackups, sourcesFor } from "./repair-plan.ts";
import type { RepairReport, RepairResult } from "./report.ts";

/**
 * Fills every missing copy of every good backup from a good copy, as ciphertext, without using PostgreSQL. A storage new
 * in the config gets earlier backups by its `backfill`.
 */
export async function runRepair(context: JobContext): Promise<RepairReport> {
  await using opened = new AsyncDisposableStack();
  const results = opened.use(new LongList<RepairResult>(context));
  let failed = 0;
  let firstError: string | null = null;
  const onResult = async (result: RepairResult) => {
    await results.push(result);
    if (result.outcome === "failed") failed++;
    firstError ??= result.error;
  };
  let left = 0;
  requireOwner("repair", context.config);
  const { run } = await recordRun(context, "repair", async (run) => {
    const recognized = await recognizeStorages(context, "repair");
    await reconcile(recognized);
    for await (const lacking of lackingBackups(recognized)) {
      const backup = await context.catalog.backup(lacking.id);
      if (!backup || !isStored(backup)) continue;
      if (!(await repairBackup(recognized, run.id, { backup, lacking }, onResult))) left++;
    }
    return {
      outcome: failed === 0 ? "OK" : "PARTIAL",
      statistics: { filled: results.length - failed, failed, left },
      error: firstError,
    };
  });
  const report = { run, results, left };
  await alertRepair(context, report);
  opened.move();
  return report;
}

/** Returns false if it was left for the next repair because another run works on its database. */
async function repairBackup(
  context: JobContext,
  runId: string,
  { backup, lacking }: { backup: StoredBackup; lacking: LackingBackup },
  onResult: (result: RepairResult) => Promise<void>,
): Promise<boolean> {
  const { catalog, clock, host, pid, log } = context;
  const copies = await catalog.copies(backup.id);
  if (!lacking.needsWork(backup.status, copies)) return true;
  const name = leaseName(backup.server, backup.database);
  if (await isAwaited(catalog, name, await catalog.leaseTime(clock))) {
    log.warning("a backup was left for the next repair: a new backup of its database is waiting", {
      backup_id: backup.id,
    });
    return false;
  }
  try {
    await using lease = await holdLease(
      catalog,
      { name, runId, host, pid },
      { clock, signal: context.signal },
    );
    const leased = underLease(context, lease);
    const tried = new Set<Storage>();
    const next = async () =>
      lacking.toFill(await catalog.copies(backup.id)).filter((storage) => !tried.has(storage));
    // A source that turns out to be damaged meanwhile is filled in the same run.
    for (let toFill = await next(); toFill.length > 0; toFill = await next())
      for (const to of toFill) {
        tried.add(to);
        await onResult(await repairCopy(leased, backup, to, lease.signal));
      }
    await settleStatus(leased, backup);
    return true;
  } catch (error) {
    if (!(error instanceof Pg321Error && error.code === "locked")) throw error;
    // The holder of the lease is making or removing copies of this database; the next repair tries again.
    log.warning("a backup was left for the next repair", { backup_id: backup.id, error: messageOf(error) });
    return false;
  }
}

async function repairCopy(
  context: JobContext,
  backup: StoredBackup,
  to: Storage,
  signal: AbortSignal,
): Promise<RepairResult> {
  const about = {
    backup_id: backup.id,
    server: backup.server,
    database: backup.database,
    storage: to.name,
    object_bytes: backup.object_bytes ?? 0,
  };
  const title = `repair ${shortId(backup.id)} ${backupName(backup)} in ${to.name}`;
  const progress = new ProgressMeter(context.progress, title, backup.object_bytes ?? undefined, [to.name]);
  const partBytes = partBytesFor(backup.object_bytes ?? 0, maxPartsOf(context.config.storage));
  const before = (await context.catalog.copies(backup.id)).find(({ storage }) => storage === to.name);
  let error = `no storage has a good copy to fill "${to.name}" from`;
  let hint: string | null = null;
  try {
    const onProgress = (bytes: number) => progress.pass(bytes);
    const filled = (note: string | null): RepairResult => ({ ...about, ...FILLED, note });
    if (await mendManifest(context, backup, to, signal)) return filled(null);
    for (const from of sourcesFor(context, await context.catalog.copies(backup.id), to)) {
      try {
        const until = await clearedUnlessLocked(context, backup, { from, to }, signal);
        if (until) {
          await putOnTop(context, backup, { from, to }, { partBytes, signal, onProgress });
          return filled(remainsUntil(until));
        }
        if (await fillCopy(context, backup, { from, to }, { partBytes, signal, onProgress }))
          return filled(null);
        const copies = await context.catalog.copies(backup.id);
        error = copies.find((copy) => copy.storage === to.name)?.error ?? error;
      } catch (failure) {
        signal.throwIfAborted();
        error = messageOf(failure);
        hint = hintOf(failure);
        context.log.warning("a copy could not be filled from this storage", {
          storage: to.name,
          from: from.name,
          backup_id: backup.id,
          error,
        });
      }
    }
    await keepAsLost(context, backup, to, before);
    for (const from of await olderSources(context, backup, to, signal)) {
      try {
        await putOnTop(context, backup, { from, to }, { partBytes, signal, onProgress });
        return filled(
          "the good bytes came from an older version in the same bucket, which stays beneath the new one",
        );
      } catch (failure) {
        signal.throwIfAborted();
        error = `no older version in "${to.name}" could be brought back: ${messageOf(failure)}`;
        hint = hintOf(failure);
      }
    }
    return { ...about, outcome: "failed", error, hint, note: null };
  } finally {
    progress.end();
  }
}

const FILLED = { outcome: "filled", error: null, hint: null } as const;

/** Frees the key; the end of the lock if an object there is locked, and so stays. */
async function clearedUnlessLocked(...words: Parameters<typeof clearTheKey>): Promise<Date | undefined> {
  try {
    await clearTheKey(...words);
    return undefined;
  } catch (error) {
    if (error instanceof LockedInPlace) return error.until;
    throw error;
  }
}

function remainsUntil(until: Date): string {
  return `the old object is locked until ${timeText(until)}: it stays beneath the new one, and is billed, until cleanup may remove it`;
}

/** Marks a lost copy as missing again after a failed attempt, so that it is still made again, whatever its age. */
async function keepAsLost(
  { catalog }: JobContext,
  { id }: StoredBackup,
  { name }: Storage,
  before: CopyRecord | undefined,
): Promise<void> {
  const now = (await catalog.copies(id)).find(({ storage }) => storage === name);
  if (before && LOST.includes(before.state) && now?.state === "FAILED")
    await catalog.updateCopy(id, name, { state: "MISSING" });
}

/**
 * Rewrites the manifest of a complete object: this needs no other copy, and there may be none. Returns false and changes
 * nothing if the object is missing or damaged.
 */
async function mendManifest(
  context: JobContext,
  backup: StoredBackup,
  to: Storage,
  signal: AbortSignal,
): Promise<boolean> {
  const { catalog, clock } = context;
  const { object_key: key, object_bytes } = backup;
  let object: StoredObject | undefined;
  try {
    object = await to.head(key, signal);
    if (!object) return false;
    const by = await readWhole(to, backup, signal);
    // The right manifest stays: it may be locked.
    if (!(await hasManifest(to, backup, signal))) {
      const isThere = (await to.head(manifestKey(key), signal)) !== undefined;
      const removal =
        isThere && (await removeObject(to, manifestKey(key), { why: "superseded", by }, signal));
      const onTop = removal !== false && removal.outcome === "locked";
      const stallTimeoutMs = to.settings.stall_timeout_ms;
      const lock = await lockFor({ ...context, signal }, to, backup);
      await putManifest(to, key, backup.manifest, { signal, clock, stallTimeoutMs, lock, onTop });
    }
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof Pg321Error) return false;
    throw error;
  }
  const confirmed_at = storedAt(object, backup, clock.now());
  // There may be no record of this copy: the storage may be new, or somebody may have copied the object there.
  await catalog.putCopy({ ...intendedCopy(backup, to), state: "CONFIRMED", object_bytes, confirmed_at });
  await lockStoredCopy({ ...context, signal }, backup, to, "repair");
  return true;
}
