import { alertDamage } from "../../alerts/copy-alerts.ts";
import { messageOf } from "../../base/errors.ts";
import { twoSizes } from "../../base/text/amounts.ts";
import type { BackupRecord, BackupStatus } from "../../catalog/records.ts";
import type { Manifest } from "../../sealed/manifest.ts";
import { MARKER_KEY } from "../../storage/marker.ts";
import type { Storage, StoredObject } from "../../storage/storage.ts";
import type { JobContext } from "../context.ts";
import { openFacts } from "../copies/backup-facts.ts";
import { settleStatus } from "../copies/backup-status.ts";
import { lockCopy } from "../copies/locks.ts";
import { manifestKey, objectOf } from "../copies/object-key.ts";
import { intendedCopy } from "../copies/steps.ts";
import { readManifest, storedAt } from "../copies/stored-object.ts";
import { ProgressMeter } from "../progress.ts";

/** Objects under the storage's prefix that have no record, in key order. */
export async function orphansIn(context: JobContext, storage: Storage): Promise<StoredObject[]> {
  const found = new Map<string, StoredObject>();
  const known = await knownKeys(context, storage);
  for await (const object of storage.list("", context.signal))
    if (object.key !== MARKER_KEY && !known.has(object.key) && !known.has(objectOf(object.key)))
      found.set(object.key, object);
  if (found.size === 0) return [];
  // Records are written before objects, so the records of a backup begun during the listing are there now.
  const recorded = await knownKeys(context, storage);
  for (const probe of await context.catalog.lockProbes.standing())
    if (probe.storage === storage.name) recorded.add(probe.object_key);
  return [...found.values()].filter(({ key }) => !recorded.has(key) && !recorded.has(objectOf(key)));
}

/** The keys of every recorded object in a storage, and of their manifests, in batches. */
export async function* recordedKeys(
  { catalog }: Pick<JobContext, "catalog">,
  { name }: Storage,
): AsyncGenerator<string[]> {
  for await (const keys of catalog.objectKeys(name)) yield keys.flatMap((key) => [key, manifestKey(key)]);
}

/** The keys of every recorded object in a storage, without their manifests. */
async function knownKeys({ catalog }: JobContext, { name }: Storage): Promise<Set<string>> {
  const known = new Set<string>();
  for await (const keys of catalog.objectKeys(name)) for (const key of keys) known.add(key);
  return known;
}

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
 * signer.
 */
async function* adoptable(
  context: JobContext,
  storage: Storage,
  orphans: readonly StoredObject[],
): AsyncGenerator<Adoptable> {
  const keys = new Set(orphans.map(({ key }) => key));
  const title = `look at objects without a record in ${storage.name}`;
  const shown = { expectedBytes: orphans.length, unit: "objects" } as const;
  const progress = new ProgressMeter(context.progress, title, undefined, [], shown);
  await using _end = { [Symbol.asyncDispose]: async () => progress.end() };
  for (const object of orphans) {
    progress.pass(1);
    if (!keys.has(manifestKey(object.key))) continue;
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

/** What `adopt` would do with the orphans: the good copies that it would add, and the objects that it would leave. */
export async function adoptionOf(
  context: JobContext,
  storage: Storage,
  orphans: readonly StoredObject[],
): Promise<{ adopted: number; left: StoredObject[] }> {
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
 * damaged, with an alert. Returns the objects adopted as good.
 */
export async function adopt(
  context: JobContext,
  storage: Storage,
  orphans: readonly StoredObject[],
): Promise<StoredObject[]> {
  const { catalog, clock } = context;
  const adopted: StoredObject[] = [];
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
      await readLock(context, backup, storage);
      await settleStatus(context, backup);
      if (error === null) adopted.push(object);
      else await alertDamage(context, "cleanup", { ...backup, storage: storage.name, error });
    } catch (failure) {
      warnOf(context, storage, object, failure);
    }
  }
  return adopted;
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
