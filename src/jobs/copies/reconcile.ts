import { messageOf, Pg321Error } from "../../base/errors.ts";
import { leaseName } from "../../catalog/database-lease.ts";
import { underLease } from "../../catalog/fleet/fenced-catalog.ts";
import { holdLease } from "../../catalog/lease.ts";
import type { BackupRecord, CopyRecord } from "../../catalog/records.ts";
import { unreachableSince } from "../../catalog/spool/reachable.ts";
import type { Manifest } from "../../sealed/manifest.ts";
import type { Storage } from "../../storage/storage.ts";
import { closeRuns } from "../close-runs.ts";
import type { JobContext } from "../context.ts";
import { ownershipOf } from "../ownership.ts";
import { storageNamed } from "../storages.ts";
import { statusOf } from "./backup-status.ts";
import { lockFor, lockStoredCopy } from "./locks.ts";
import { manifestKey } from "./object-key.ts";
import type { RemovalReason } from "./removal.ts";
import { removeObject } from "./removal.ts";
import {
  intendedCopies,
  LockedInPlace,
  lockedRemains,
  refuseLocked,
  remainsLockedUntil,
  removeIntended,
} from "./remove-intended.ts";
import { putManifest, readManifest, readManifestText, storedAt } from "./stored-object.ts";

/**
 * Settles this host's backups of killed runs by the intents in the catalog: a copy with a valid manifest is confirmed; of any
 * other intended copy, exactly its own keys and its own upload are removed. If a storage does not answer, the intent
 * stays for the next time. A failure with one backup is logged and throws nothing. It holds the database's lease
 * meanwhile, so that copies of a live run are not mistaken for remains. `selects`: only these databases, so that
 * parallel runs do not take each other's leases.
 */
export async function reconcile(
  context: JobContext,
  selects: (server: string, database: string) => boolean = () => true,
): Promise<void> {
  const { log } = context;
  const { owns } = await ownershipOf(context);
  for await (const id of unsettled(context)) {
    try {
      await reconcileUnderLease(
        context,
        id,
        (backup) => owns(backup) && selects(backup.server, backup.database),
      );
    } catch (error) {
      context.signal.throwIfAborted();
      if (error instanceof Pg321Error && error.code === "locked") continue;
      log.error("an interrupted backup could not be settled", { backup_id: id, error: messageOf(error) });
    }
  }
  await closeRuns(context);
}

/** A page of backups that seem to be under way. */
const RUNNING = { status: ["RUNNING"], limit: 500 } as const;

/** The id of each backup with an intent, then of each other one that has no end. They may be settled meanwhile. */
async function* unsettled({ catalog }: JobContext): AsyncGenerator<string> {
  let before: string | undefined;
  for await (const { backup_id } of intendedCopies({ catalog })) {
    if (backup_id !== before) yield backup_id;
    before = backup_id;
  }
  let page = await catalog.backups(RUNNING);
  for (; page.length > 0; page = await catalog.backups({ ...RUNNING, after: page.at(-1) }))
    for (const { id } of page) if (!hasIntent(await catalog.copies(id))) yield id;
}

function hasIntent(copies: readonly CopyRecord[]): boolean {
  return copies.some(({ state }) => state === "INTENDED");
}

async function reconcileUnderLease(
  context: JobContext,
  id: string,
  isChosen: (backup: BackupRecord) => boolean,
): Promise<void> {
  const { catalog, clock, host, pid } = context;
  const found = await catalog.backup(id);
  if (!found || !isChosen(found)) return;
  const name = leaseName(found.server, found.database);
  const request = { name, runId: crypto.randomUUID(), host, pid };
  await using lease = await holdLease(catalog, request, { clock, signal: context.signal });
  // Read it again: the run that made it may have ended in the meantime.
  const backup = await catalog.backup(id);
  if (backup && (backup.status === "RUNNING" || hasIntent(await catalog.copies(id))))
    await reconcileBackup(underLease(context, lease), backup);
}

async function reconcileBackup(context: JobContext, found: BackupRecord): Promise<void> {
  const { catalog, log, clock } = context;
  // Copies with a manifest come first: it has facts that the catalog may lack and the other copies need.
  let backup = found;
  const askAbout = async (step: typeof confirmByManifest) => {
    for (const copy of await catalog.copies(found.id)) {
      const storage = storageNamed(context, copy.storage);
      if (copy.state !== "INTENDED" || !storage) continue;
      try {
        backup = await step(context, backup, copy, storage);
      } catch (error) {
        context.signal.throwIfAborted();
        const fields = { backup_id: found.id, storage: copy.storage, error: messageOf(error) };
        log.warning("an interrupted copy could not be checked or removed; the next run tries again", fields);
      }
    }
  };
  await askAbout(confirmByManifest);
  await askAbout(completeOrRemove);
  const copies = await catalog.copies(found.id);
  const settled = statusOf(copies);
  // A backup that was recorded as failed keeps that status and its own error.
  const status = settled === "INTERRUPTED" && found.status === "FAILED" ? "FAILED" : settled;
  const error = status === "INTERRUPTED" ? "the run ended before any copy was complete" : null;
  await catalog.updateBackup(found.id, {
    finished_at: backup.finished_at ?? clock.now().toISOString(),
    ...(status !== found.status && { status, error }),
  });
  if (hasIntent(copies)) return;
  const { id, database } = found;
  log.warning("an interrupted backup was settled", { backup_id: id, database, status });
}

/** Confirms a copy with a good manifest. Returns the backup with the facts from the manifest. */
async function confirmByManifest(
  context: JobContext,
  backup: BackupRecord,
  copy: CopyRecord,
  storage: Storage,
): Promise<BackupRecord> {
  const good = await goodManifest(context, backup, storage);
  if (!good) return backup;
  const facts = factsOf(good.manifest, good.text);
  await context.catalog.updateBackup(backup.id, facts);
  await confirmIntended(context, backup, copy, storage, good.manifest.object_bytes);
  return { ...backup, ...facts };
}

const LOCKED_REMAINS =
  "the remains of an interrupted copy are locked; they are removed when their lock has ended";
const UNLOCKED = { locked_until: null, lock_mode: null, lock_place: null };

/** Writes the manifest of a copy that lacks only that; removes the remains of any other. */
async function completeOrRemove(
  context: JobContext,
  backup: BackupRecord,
  copy: CopyRecord,
  storage: Storage,
): Promise<BackupRecord> {
  if (await completeManifest(context, backup, copy, storage)) {
    await confirmIntended(context, backup, copy, storage, backup.object_bytes);
    return backup;
  }
  // Another host may have settled the backup meanwhile; what it says is not known here.
  if (unreachableSince(context.catalog) !== undefined) return backup;
  if (remainsLockedUntil(storage.settings, copy, context.clock.now()) !== undefined) return backup;
  try {
    await removeIntended(storage, copy, context.signal);
  } catch (error) {
    if (!(error instanceof LockedInPlace)) throw error;
    await context.catalog.updateCopy(backup.id, storage.name, lockedRemains(storage, error));
    const until = error.until.toISOString();
    context.log.warning(LOCKED_REMAINS, { backup_id: backup.id, storage: storage.name, until });
    return backup;
  }
  await context.catalog.updateCopy(backup.id, storage.name, {
    state: "FAILED",
    upload_id: null,
    ...UNLOCKED,
    error: "the run ended before this copy was complete",
  });
  return backup;
}

async function confirmIntended(
  context: JobContext,
  backup: BackupRecord,
  copy: CopyRecord,
  storage: Storage,
  object_bytes: number | null,
): Promise<void> {
  const object = await storage.head(backup.object_key, context.signal);
  const confirmed_at = storedAt(object, backup, context.clock.now());
  const change = { state: "CONFIRMED", upload_id: null, object_bytes, confirmed_at, error: null } as const;
  await context.catalog.updateCopy(copy.backup_id, copy.storage, change);
  await lockStoredCopy(context, backup, storage, "backup");
}

/**
 * Writes the missing manifest of a finished object. The object is finished if it exists with the recorded size, because
 * a storage shows an object only when all of it has been stored. Returns whether it was finished.
 */
async function completeManifest(
  context: JobContext,
  backup: BackupRecord,
  copy: CopyRecord,
  storage: Storage,
): Promise<boolean> {
  const { clock, log, signal } = context;
  const { manifest, object_key: key, object_bytes } = backup;
  if (manifest === null) return false;
  const object = await storage.head(key, signal);
  if (object === undefined || object.sizeBytes !== object_bytes) return false;
  if (await storage.head(manifestKey(key), signal)) {
    const reason: RemovalReason = { why: "intended", copy };
    refuseLocked(storage, key, await removeObject(storage, manifestKey(key), reason, signal));
  }
  const stallTimeoutMs = storage.settings.stall_timeout_ms;
  const lock = await lockFor(context, storage, backup);
  await putManifest(storage, key, manifest, { signal, clock, stallTimeoutMs, lock });
  log.info("the manifest of a finished copy of an interrupted run was written", {
    storage: storage.name,
    backup_id: backup.id,
  });
  return true;
}

async function goodManifest(context: JobContext, backup: BackupRecord, storage: Storage) {
  let found: Awaited<ReturnType<typeof readManifest>>;
  try {
    found = await readManifest(context, storage, backup.object_key, context.signal);
  } catch (error) {
    // The signing key may have been replaced since. A text that equals the recorded one is ours without a signature.
    const isOurs =
      error instanceof Pg321Error && error.code === "key" && (await isRecorded(context, backup, storage));
    if (isOurs) return undefined;
    // A damaged manifest counts as missing; a failure of the storage does not.
    if (error instanceof Pg321Error && error.code === "verification") return undefined;
    throw error;
  }
  if (!found || found.manifest.backup_id !== backup.id) return undefined;
  const object = await storage.head(backup.object_key, context.signal);
  return object?.sizeBytes === found.manifest.object_bytes ? found : undefined;
}

async function isRecorded({ signal }: JobContext, backup: BackupRecord, storage: Storage): Promise<boolean> {
  return (
    backup.manifest !== null &&
    (await readManifestText(storage, backup.object_key, signal)) === backup.manifest
  );
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
