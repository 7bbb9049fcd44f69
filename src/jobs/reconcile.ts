import { messageOf, Pg321Error } from "../base/errors.ts";
import type { BackupRecord, BackupStatus, CopyRecord } from "../catalog/catalog.ts";
import { REMOVED } from "../catalog/catalog.ts";
import { holdLease, isHeld } from "../catalog/lease.ts";
import type { Manifest } from "../sealed/manifest.ts";
import type { Storage } from "../storage/storage.ts";
import { closeRuns } from "./close-runs.ts";
import type { JobContext } from "./context.ts";
import { storageNamed } from "./context.ts";
import { readManifest } from "./copy.ts";
import { leaseName } from "./lease-name.ts";
import { manifestKey } from "./object-key.ts";

/**
 * Settles what runs that were killed left behind, by the intents in the catalog: a copy with a valid
 * manifest counts; of any other intended copy exactly its own keys and its own upload are removed. A
 * storage that does not answer keeps its intent for the next time. Never throws for one backup's sake.
 * It holds the database's lease meanwhile: what a run that lives makes must not be taken for left behind.
 * `selects`: only of these databases, so that runs beside each other do not take each other's leases.
 */
export async function reconcile(
  context: JobContext,
  selects: (server: string, database: string) => boolean = () => true,
): Promise<void> {
  const { catalog, log } = context;
  const intended = await catalog.copiesInState(["INTENDED"]);
  const running = await catalog.backups({ status: ["RUNNING"] });
  const ids = new Set([...intended.map((copy) => copy.backup_id), ...running.map((backup) => backup.id)]);
  for (const id of ids) {
    try {
      await reconcileUnderLease(context, id, selects);
    } catch (error) {
      context.signal.throwIfAborted();
      if (error instanceof Pg321Error && error.code === "locked") continue;
      log.error("an interrupted backup could not be settled", { backup_id: id, error: messageOf(error) });
    }
  }
  await closeRuns(context);
}

/** Whether a run that lives works on the backups of this database. */
export async function isLeased(
  context: Pick<JobContext, "catalog" | "clock">,
  backup: Pick<BackupRecord, "server" | "database">,
): Promise<boolean> {
  const now = context.clock.now().toISOString();
  const leases = await context.catalog.leases();
  const name = leaseName(backup.server, backup.database);
  return leases.some((lease) => lease.name === name && isHeld(lease, now));
}

async function reconcileUnderLease(
  context: JobContext,
  id: string,
  selects: (server: string, database: string) => boolean,
): Promise<void> {
  const { catalog, clock, host, pid } = context;
  const found = await catalog.backup(id);
  if (!found || !selects(found.server, found.database)) return;
  const name = leaseName(found.server, found.database);
  const request = { name, runId: crypto.randomUUID(), host, pid };
  await using lease = await holdLease(catalog, request, { clock, signal: context.signal });
  // As it is now: the run that made it may have ended in the meantime.
  const backup = await catalog.backup(id);
  const hasIntents = (await catalog.copies(id)).some((copy) => copy.state === "INTENDED");
  if (backup && (backup.status === "RUNNING" || hasIntents))
    await reconcileBackup({ ...context, signal: lease.signal }, backup);
}

async function reconcileBackup(context: JobContext, backup: BackupRecord): Promise<void> {
  const { catalog, log, clock } = context;
  let manifest: { manifest: Manifest; text: string } | undefined;
  for (const copy of await catalog.copies(backup.id)) {
    if (copy.state !== "INTENDED") continue;
    const storage = storageNamed(context, copy.storage);
    if (!storage) continue;
    try {
      manifest = (await reconcileCopy(context, backup, copy, storage)) ?? manifest;
    } catch (error) {
      context.signal.throwIfAborted();
      const fields = { backup_id: backup.id, storage: copy.storage, error: messageOf(error) };
      log.warning("a storage could not be asked about an interrupted copy; the next run asks again", fields);
    }
  }
  const copies = await catalog.copies(backup.id);
  const settled = statusOf(copies);
  // One that failed by itself stays what it is, with its own error.
  const status = settled === "INTERRUPTED" && backup.status === "FAILED" ? "FAILED" : settled;
  const error = status === "INTERRUPTED" ? "the run ended before any copy was complete" : null;
  await catalog.updateBackup(backup.id, {
    finished_at: backup.finished_at ?? clock.now().toISOString(),
    ...(manifest && factsOf(manifest.manifest, manifest.text)),
    ...(status !== backup.status && { status, error }),
  });
  if (copies.some((copy) => copy.state === "INTENDED")) return;
  log.warning("an interrupted backup was settled", {
    backup_id: backup.id,
    database: backup.database,
    status,
  });
}

/** Returns the manifest when it confirms the copy. */
async function reconcileCopy(
  context: JobContext,
  backup: BackupRecord,
  copy: CopyRecord,
  storage: Storage,
): Promise<{ manifest: Manifest; text: string } | undefined> {
  const { catalog, signal } = context;
  const found = await goodManifest(context, backup, storage);
  if (found) {
    await catalog.updateCopy(backup.id, storage.name, {
      state: "CONFIRMED",
      upload_id: null,
      object_bytes: found.manifest.object_bytes,
      confirmed_at: context.clock.now().toISOString(),
    });
    return found;
  }
  await removeIntended(storage, copy, signal);
  await catalog.updateCopy(backup.id, storage.name, {
    state: "FAILED",
    upload_id: null,
    error: "the run ended before this copy was complete",
  });
  return undefined;
}

/** Removes what one intended copy may have left: manifest first, so that no manifest tells of no object. */
export async function removeIntended(
  storage: Storage,
  copy: Pick<CopyRecord, "object_key" | "upload_id">,
  signal: AbortSignal,
): Promise<void> {
  await storage.discard(manifestKey(copy.object_key), undefined, signal);
  await removeFromSight(storage, manifestKey(copy.object_key), signal);
  await storage.discard(copy.object_key, copy.upload_id ?? undefined, signal);
  await removeFromSight(storage, copy.object_key, signal);
}

async function removeFromSight(storage: Storage, key: string, signal: AbortSignal): Promise<void> {
  const removal = await storage.remove(key, signal);
  if (removal.outcome !== "locked") return;
  const until = removal.lockedUntil.toISOString();
  throw new Pg321Error("storage", `storage "${storage.name}": remove ${key}: locked until ${until}`);
}

async function goodManifest(context: JobContext, backup: BackupRecord, storage: Storage) {
  let found: Awaited<ReturnType<typeof readManifest>>;
  try {
    found = await readManifest(context, storage, backup.object_key, context.signal);
  } catch (error) {
    // A manifest that was damaged while it was written is as good as none; a storage that fails is not.
    if (error instanceof Pg321Error && error.code === "verification") return undefined;
    throw error;
  }
  if (!found || found.manifest.backup_id !== backup.id) return undefined;
  const object = await storage.head(backup.object_key, context.signal);
  return object?.sizeBytes === found.manifest.object_bytes ? found : undefined;
}

/** What the records of its copies make of a backup that no run works on any more. */
export function statusOf(all: readonly CopyRecord[]): BackupStatus {
  const copies = all.filter(({ state }) => !REMOVED.includes(state));
  const confirmed = copies.filter((copy) => copy.state === "CONFIRMED").length;
  if (confirmed === 0) return "INTERRUPTED";
  return confirmed === copies.length ? "VERIFIED" : "PARTIAL";
}

function factsOf(manifest: Manifest, text: string): Partial<BackupRecord> {
  return {
    finished_at: manifest.finished_at,
    dump_bytes: manifest.dump_bytes,
    object_bytes: manifest.object_bytes,
    object_sha256: manifest.object_sha256,
    manifest: text,
  };
}
