import { alertDamage } from "../../alerts/copy-alerts.ts";
import { messageOf } from "../../base/errors.ts";
import { twoSizes } from "../../base/text/amounts.ts";
import type { BackupRecord, BackupStatus } from "../../catalog/records.ts";
import type { Manifest } from "../../sealed/manifest.ts";
import type { Storage, StoredObject } from "../../storage/storage.ts";
import type { JobContext } from "../context.ts";
import { openFacts } from "../copies/backup-facts.ts";
import { settleStatus } from "../copies/backup-status.ts";
import { lockCopy } from "../copies/locks.ts";
import { manifestKey, objectOf } from "../copies/object-key.ts";
import { intendedCopy } from "../copies/steps.ts";
import { readManifest, storedAt } from "../copies/stored-object.ts";

/** An orphan that is a copy of a backup of this installation. */
interface Adoptable {
  object: StoredObject;
  manifest: Manifest;
  /** The manifest's text. */
  text: string;
  /** Why it is damaged; null if it is good. */
  error: string | null;
}

/**
 * The orphans that are backups of this installation: object and manifest exist, and the manifest is signed by a trusted
 * signer. `orphans`: a part of those in a storage.
 */
async function* adoptable(
  context: JobContext,
  storage: Storage,
  orphans: readonly StoredObject[],
): AsyncGenerator<Adoptable> {
  const byKey = new Map(orphans.map((object) => [object.key, object]));
  for (const { key } of orphans) {
    const objectKey = objectOf(key);
    if (manifestKey(objectKey) !== key) continue;
    // A storage that lists in another order may have shown the object long before.
    const object = byKey.get(objectKey) ?? (await storage.head(objectKey, context.signal));
    if (object === undefined) continue;
    try {
      const found = await readManifest(context, storage, object.key, context.signal);
      const problem = found ? problemOf(context, object, found.manifest) : "its manifest is gone";
      if (!found || problem !== undefined) throw new Error(problem);
      yield { object, ...found, error: damageOf(object, found.manifest) };
    } catch (error) {
      warnOf(context, storage, object, error);
    }
  }
}

/** What became, or would become, of orphans. */
export interface Adoption {
  /** The copies that were added as good. */
  adopted: number;
  /** The objects that still have no record. */
  left: StoredObject[];
}

/** What `adopt` would do with the orphans. */
export async function adoptionOf(
  context: JobContext,
  storage: Storage,
  orphans: readonly StoredObject[],
): Promise<Adoption> {
  const taken = new Set<string>();
  let adopted = 0;
  for await (const { object, error } of adoptable(context, storage, orphans)) {
    taken.add(object.key).add(manifestKey(object.key));
    if (error === null) adopted++;
  }
  return { adopted, left: orphans.filter(({ key }) => !taken.has(key)) };
}

/**
 * Adds the orphans that are backups of this installation to the catalog. An object of the wrong size is recorded as
 * damaged, with an alert.
 */
export async function adopt(
  context: JobContext,
  storage: Storage,
  orphans: readonly StoredObject[],
): Promise<Adoption> {
  const { catalog, clock } = context;
  const recorded = new Set<string>();
  let adopted = 0;
  for await (const { object, manifest, text, error } of adoptable(context, storage, orphans)) {
    try {
      const backup = recordOf(manifest, text);
      if (!(await catalog.backup(backup.id))) {
        const facts = (await openFacts(context, manifest.details)) ?? null;
        await catalog.insertBackup({ ...backup, facts });
      }
      await catalog.putCopy({
        ...intendedCopy(backup, storage),
        state: error === null ? "CONFIRMED" : "DAMAGED",
        object_bytes: object.sizeBytes,
        confirmed_at: storedAt(object, backup, clock.now()),
        error,
      });
      recorded.add(object.key);
      await readLock(context, backup, storage);
      await settleStatus(context, backup);
      if (error === null) adopted++;
      else await alertDamage(context, "cleanup", { ...backup, storage: storage.name, error });
    } catch (failure) {
      warnOf(context, storage, object, failure);
    }
  }
  return { adopted, left: orphans.filter(({ key }) => !recorded.has(objectOf(key)) && !recorded.has(key)) };
}

function warnOf({ log, signal }: JobContext, { name }: Storage, { key }: StoredObject, error: unknown): void {
  signal.throwIfAborted();
  log.warning("an object cannot be adopted", { storage: name, object: key, error: messageOf(error) });
}

/** Records the lock of an adopted copy as it is; the next cleanup puts one on it if the config asks for that. */
async function readLock(context: JobContext, backup: BackupRecord, storage: Storage): Promise<void> {
  if (storage.settings.type !== "s3") return;
  const { change } = await lockCopy(context, backup, storage, undefined);
  await context.catalog.updateCopy(backup.id, storage.name, change);
}

function problemOf(
  { installation }: JobContext,
  object: StoredObject,
  manifest: Manifest,
): string | undefined {
  if (!manifest.signed) return "its manifest is not signed: anybody may have put it there";
  if (manifest.installation !== installation)
    return `it is a backup of another installation (${manifest.installation})`;
  if (manifest.object_key !== object.key) return `its manifest belongs to ${manifest.object_key}`;
  return undefined;
}

/** Why an object does not match its manifest, or null. It is then a damaged copy, which a good copy can replace. */
function damageOf({ sizeBytes }: StoredObject, { object_bytes }: Manifest): string | null {
  if (object_bytes === sizeBytes) return null;
  const [found, recorded] = twoSizes(sizeBytes, object_bytes);
  return `it has ${found}, but its manifest says ${recorded}`;
}

/** The record of a backup, from its manifest. */
function recordOf(manifest: Manifest, text: string): BackupRecord {
  const { backup_id, pg321_version: _1, details: _2, signer: _3, signed: _4, ...facts } = manifest;
  return {
    ...facts,
    id: backup_id,
    status: "VERIFIED" satisfies BackupStatus,
    // The run that made it is no longer known.
    run_id: backup_id,
    manifest: text,
    error: null,
    stderr_tail: null,
    held_at: null,
    hold_until: null,
    hold_reason: null,
    recipients: null,
    unreadable: null,
    hooks: null,
    host: null,
    facts: null,
  };
}
