import { raiseAlert, resolveAlert } from "../../alerts/alert.ts";
import { unlessLate } from "../../base/abort.ts";
import { messageOf, Pg321Error } from "../../base/errors.ts";
import { PART_BYTES_MIN } from "../../base/limits.ts";
import { holdLease } from "../../catalog/lease.ts";
import type { Renaming } from "../../catalog/storages/identities.ts";
import type { Job } from "../../config/config.ts";
import { KeyTaken } from "../../storage/key.ts";
import { encodeMarker, MARKER_KEY } from "../../storage/marker.ts";
import { RefusedStorage, StorageRefused } from "../../storage/refused.ts";
import type { Storage } from "../../storage/storage.ts";
import { partsOf } from "../../stream/part.ts";
import type { JobContext } from "../context.ts";
import { discardUpload } from "../copies/removal.ts";
import { watchedPut } from "../copies/watched-put.ts";
import { ownershipOf } from "../ownership.ts";
import { lookAtPlace, readMarker, type SeenPlace, sharedPlaceError } from "../shared-places.ts";
import type { MarkerFacts, MarkerVerdict } from "./marker-verdict.ts";
import { judgeMarker, ownNameHint } from "./marker-verdict.ts";
import { holdingsOf } from "./storage-holdings.ts";

/** A storage that has not answered by then is used as it is; later requests to it fail on their own. */
const LOOK_MS_MAX = 30_000;
const SHARED_KEY = "storages in one place";

/**
 * Checks the marker of every storage and returns the context for the run. A storage without the expected marker is
 * replaced by one that refuses everything, and raises an alert; a fresh place gets its marker; the records of a renamed
 * storage get its new name. With `isQuiet` nothing is reported about a refused storage: no run is affected. Throws code
 * `usage` if two storages are the same place.
 */
export async function recognizeStorages(
  context: JobContext,
  job: Job,
  { isQuiet = false }: { isQuiet?: boolean } = {},
): Promise<JobContext> {
  const seen = await lookAtAll(context);
  await refuseSharedPlaces(context, job, seen);
  const verdicts = await judge(context, seen);
  await followRenamed(context, verdicts);
  const storages: Storage[] = [];
  const refuse = async (storage: Storage, reason: StorageRefused) => {
    if (!isQuiet) await reportRefused(context, job, storage, reason);
    storages.push(new RefusedStorage(storage, reason));
  };
  for (const [index, { storage, error, place }] of seen.entries()) {
    const verdict = verdicts[index];
    if (verdict === undefined) {
      if (error instanceof Pg321Error && error.code === "verification")
        await refuse(storage, damagedMarker(storage, error));
      else storages.push(storage);
    } else if (verdict.verdict === "refused") {
      const { problem, hint } = verdict;
      await refuse(storage, new StorageRefused(storage.name, problem, hint));
    } else {
      await confirm(context, storage, place?.[0] ?? null, verdict);
      await resolveAlert(context, alertKey(storage), recognizedAgain(storage));
      storages.push(storage);
    }
  }
  // Two names for one fresh place are noticed only after the marker was written.
  if (verdicts.some((one) => one?.verdict === "unmarked"))
    await refuseSharedPlaces(context, job, await lookAtAll(context));
  return { ...context, storages };
}

/**
 * Accepts the place of a storage because a person says that it is right: it gets a marker if it has none, and the
 * catalog records its marker. Nothing else is done for a storage that a run recognizes, even under a new name. Returns
 * whether the marker existed. Throws what the storage throws, and code `usage` if two storages are the same place or if
 * the place is known as another storage, because their records would mix.
 */
export async function acceptStorage(context: JobContext, storage: Storage): Promise<{ wasMarked: boolean }> {
  const { catalog, clock, signal } = context;
  const recognized = await recognizeStorages(context, "repair", { isQuiet: true });
  const now = recognized.storages.find(({ name }) => name === storage.name);
  const { marker, place, error } = await look(context, storage);
  if (error !== undefined) throw error;
  const isRefused = now instanceof RefusedStorage;
  if (!isRefused && marker) return { wasMarked: true };
  const others = (await catalog.identities.all()).filter(({ name }) => name !== storage.name);
  const former = marker && others.find((one) => one.storage_id === marker.storage_id);
  if (former && isRefused) throw new Pg321Error("usage", now.reason.message, { hint: now.reason.hint ?? "" });
  const namesakes = (await ownershipOf(context)).hostsWithStorage(storage.name);
  const hint = ownNameHint({ name: storage.name, namesakes });
  // Its records would be taken for those of this place. Hosts that share a bucket all see what is there.
  if (isRefused && hint !== undefined && storage.settings.type === "local")
    throw new Pg321Error("usage", now.reason.message, { hint });
  // A run goes on if it cannot write the marker of a fresh place; here the failure is the answer.
  const storageId = marker?.storage_id ?? (await writeMarker(context, storage, crypto.randomUUID(), signal));
  await catalog.identities.confirm(storage.name, storageId, clock.now().toISOString(), place?.[0] ?? null);
  await resolveAlert(context, alertKey(storage), recognizedAgain(storage));
  return { wasMarked: marker != null };
}

function lookAtAll(context: JobContext): Promise<SeenPlace[]> {
  return Promise.all(context.storages.map((storage) => look(context, storage)));
}

async function look({ clock, signal, storages, log }: JobContext, storage: Storage): Promise<SeenPlace> {
  try {
    const late = () =>
      new Pg321Error("storage", `storage "${storage.name}": no answer within ${LOOK_MS_MAX / 1000} s`);
    const limits = { clock, signal, durationMs: LOOK_MS_MAX };
    return await unlessLate(lookAtPlace(storage, storages, signal), limits, late);
  } catch (error) {
    signal.throwIfAborted();
    // The job itself reports this if it needs the storage.
    log.debug("a storage could not be checked", { storage: storage.name, error: messageOf(error) });
    return { storage, error };
  }
}

async function refuseSharedPlaces(context: JobContext, job: Job, seen: readonly SeenPlace[]): Promise<void> {
  const error = sharedPlaceError(seen);
  if (error === undefined) return resolveAlert(context, SHARED_KEY, "every storage has its own place again");
  await raiseAlert(context, {
    ...{ level: "CRITICAL", job, run_id: null, server: null, database: null },
    key: SHARED_KEY,
    message: `the run was refused: ${error.message}`,
    metadata: { hint: error.hint ?? null },
  });
  throw error;
}

/** One verdict for each seen place, in order; undefined for a storage that did not answer. */
async function judge(
  context: JobContext,
  seen: readonly SeenPlace[],
): Promise<(MarkerVerdict | undefined)[]> {
  const identities = await context.catalog.identities.all();
  const found = new Map(
    seen.flatMap(({ storage, marker }) => (marker ? [[storage.name, marker.storage_id]] : [])),
  );
  const { others, hostsWithStorage } = await ownershipOf(context);
  const elsewhere = others.flatMap(({ storages }) => storages.map(({ name }) => name));
  const about: Omit<MarkerFacts, "name" | "place" | "marker" | "namesakes" | "identities"> = {
    installation: context.installation,
    found,
    allAnswered: seen.every(({ error }) => error === undefined),
    configured: [...context.config.storage.map(({ name }) => name), ...elsewhere],
    elsewhere,
  };
  return Promise.all(
    seen.map(async ({ storage, marker, place, error }) => {
      if (error !== undefined || marker === undefined) return undefined;
      const { name, settings } = storage;
      // The same path on two hosts is two places.
      const known = identities.filter(
        (one) =>
          settings.type !== "local" ||
          one.name === name ||
          one.storage_id === marker?.storage_id ||
          !elsewhere.includes(one.name),
      );
      const facts = {
        ...about,
        ...{ name, identities: known, namesakes: hostsWithStorage(name) },
        place: place?.[0],
        marker: marker ?? undefined,
      };
      const isNew =
        marker === null && !identities.some((one) => one.name === storage.name && one.marked_at !== null);
      if (!isNew) return judgeMarker(facts);
      const holdings = await holdingsOf(context, storage).catch((failure) => {
        context.signal.throwIfAborted();
        const fields = { storage: storage.name, error: messageOf(failure) };
        context.log.debug("a storage could not be checked", fields);
        return undefined;
      });
      return holdings && judgeMarker({ ...facts, holdings });
    }),
  );
}

async function followRenamed(
  context: JobContext,
  verdicts: readonly (MarkerVerdict | undefined)[],
): Promise<void> {
  const pairs: Renaming[] = [];
  for (const [index, verdict] of verdicts.entries()) {
    const to = context.storages[index]?.name;
    if (to === undefined || verdict === undefined || verdict.verdict === "refused") continue;
    if (verdict.renamedFrom !== undefined) pairs.push({ from: verdict.renamedFrom, to });
  }
  if (pairs.length === 0) return;
  await context.catalog.identities.rename(pairs);
  for (const { from, to } of pairs) {
    context.log.info("a storage was renamed: its records now have the new name", {
      storage: to,
      former_name: from,
    });
    // Problems that remain are raised again under the new name.
    for (const { key, metadata } of await context.catalog.alerts({ open: true }))
      if (metadata["storage"] === from)
        await resolveAlert(context, key, `storage "${from}" is now named "${to}"`);
  }
}

async function confirm(
  context: JobContext,
  storage: Storage,
  place: string | null,
  verdict: Exclude<MarkerVerdict, { verdict: "refused" }>,
): Promise<void> {
  const { catalog, clock, log, signal } = context;
  const at = clock.now().toISOString();
  if (verdict.verdict === "known") {
    const known = await catalog.identities.all();
    const isConfirmed = known.some(
      (one) =>
        one.name === storage.name &&
        one.storage_id === verdict.storageId &&
        one.marked_at !== null &&
        one.place === place,
    );
    if (!isConfirmed) await catalog.identities.confirm(storage.name, verdict.storageId, at, place);
    return;
  }
  // Record the id first, so that two runs that begin at the same time write the same marker.
  const { storage_id } = await catalog.identities.intend(storage.name, crypto.randomUUID());
  try {
    const marked = await writeMarker(context, storage, storage_id, signal);
    const known = await catalog.identities.all();
    // Another name for the same place was first: its records must keep the marker.
    if (known.some((one) => one.name !== storage.name && one.storage_id === marked)) return;
    await catalog.identities.confirm(storage.name, marked, at, place);
    log.info("the marker of a storage was written", { storage: storage.name, object: MARKER_KEY });
  } catch (error) {
    signal.throwIfAborted();
    // A storage that cannot be written will fail on its own; reading from it needs no marker.
    log.warning("the marker of a storage could not be written", {
      storage: storage.name,
      error: messageOf(error),
    });
  }
}

/** Writes the marker. Returns the id in the place, which may be that of a marker another host wrote in the meantime. */
async function writeMarker(
  { catalog, clock, host, installation, pid }: JobContext,
  storage: Storage,
  storage_id: string,
  given: AbortSignal,
): Promise<string> {
  // Without the lease, the remains of a killed run could not be told from a marker that another run is writing.
  const request = { name: `marker of ${storage.name}`, runId: crypto.randomUUID(), host, pid };
  await using lease = await holdLease(catalog, request, { clock, signal: given });
  const { signal } = lease;
  await discardUpload(storage, MARKER_KEY, null, signal);
  const marker = { storage_id, installation, created_at: clock.now().toISOString() };
  const stallTimeoutMs = storage.settings.stall_timeout_ms;
  const options = { signal, clock, stallTimeoutMs, partBytes: PART_BYTES_MIN };
  await watchedPut(storage, MARKER_KEY, partsOf(encodeMarker(marker)), options).catch((error) => {
    if (!(error instanceof KeyTaken)) throw error;
  });
  const written = await readMarker(storage, signal);
  if (written) return written.storage_id;
  throw new Pg321Error(
    "storage",
    `storage "${storage.name}": its marker is missing right after it was written`,
  );
}

async function reportRefused(
  context: JobContext,
  job: Job,
  storage: Storage,
  reason: StorageRefused,
): Promise<void> {
  context.log.error("a storage is left out of this run", {
    storage: storage.name,
    error: reason.message,
    hint: reason.hint,
  });
  await raiseAlert(context, {
    ...{ level: "CRITICAL", job, run_id: null, server: null, database: null },
    key: alertKey(storage),
    message: reason.message,
    metadata: { storage: storage.name, hint: reason.hint ?? null },
  });
}

function damagedMarker(storage: Storage, { hint = "" }: Pg321Error): StorageRefused {
  return new StorageRefused(storage.name, `its marker ${MARKER_KEY} cannot be read`, hint);
}

function recognizedAgain({ name }: Storage): string {
  return `storage "${name}" is used again: it has its expected marker`;
}

function alertKey({ name }: Storage): string {
  return `storage ${name}`;
}
