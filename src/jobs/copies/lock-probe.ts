import { messageOf, Pg321Error } from "../../base/errors.ts";
import { DAY_MS, PART_BYTES_MIN } from "../../base/limits.ts";
import { timeText } from "../../base/text/zoned-time.ts";
import type { LockProbeRecord } from "../../catalog/records.ts";
import { endOf, probedPlace, wantedOf } from "../../storage/immutability.ts";
import { failureOf } from "../../storage/s3/errors.ts";
import type { ObjectLock, Removal, Storage } from "../../storage/storage.ts";
import { partsOf } from "../../stream/part.ts";
import type { JobContext } from "../context.ts";
import { requireInPlace } from "../in-place.ts";
import { timeShown } from "../storage-time.ts";
import { shortId } from "./object-key.ts";
import { removeObject } from "./removal.ts";

type ProbeContext = Pick<JobContext, "catalog" | "clock" | "signal">;

/** The lock of a probe object: enough to be refused its deletion. */
const PROBE_LOCK_MS = DAY_MS;
/** HTTP statuses of a refused deletion. */
const REFUSALS: readonly (number | undefined)[] = [403, 409];

/**
 * Writes a small object to a storage whose settings promise immutable copies, tries to delete it, and records whether
 * the storage refused. Undefined if the settings promise nothing. An object that stays is removed by a later cleanup.
 * Throws what the storage throws; such a probe says nothing.
 */
export async function probeLock(
  context: ProbeContext,
  storage: Storage,
): Promise<LockProbeRecord | undefined> {
  const { catalog, clock, signal } = context;
  const wanted = wantedOf(storage.settings);
  if (!wanted) return undefined;
  await requireMarked(context, storage);
  // Locks and rules end by the clock of the storage, and the newest probe must not depend on that of this host.
  const now = timeShown(clock, storage) ?? clock.now();
  const id = crypto.randomUUID();
  const until = endOfProbe(storage, wanted.by, now);
  const probe: LockProbeRecord = {
    id,
    storage: storage.name,
    object_key: probeKey(id, now),
    by: wanted.by,
    probed_at: (await afterLast(context, storage, now)).toISOString(),
    finished_at: null,
    refused: false,
    message: "",
    locked_until: until?.toISOString() ?? null,
    removed_at: null,
    place: probedPlace(storage.settings),
  };
  await catalog.lockProbes.add(probe);
  const lock: ObjectLock | undefined =
    wanted.by === "lock" && until ? { mode: "governance", until } : undefined;
  const body = partsOf(new TextEncoder().encode(textOf(probe)));
  await storage.put(probe.object_key, body, { signal, partBytes: PART_BYTES_MIN, lock });
  const problem = lock && (await storage.lock(probe.object_key, lock, signal)).problem;
  const found = await tryToDelete(storage, probe, signal);
  const finished_at = clock.now().toISOString();
  const change = {
    finished_at,
    // Locks that cannot be read back do not count, whatever the storage refuses.
    refused: found.isRefused && problem === undefined,
    message: problem === undefined ? found.message : `${found.message}; no lock was confirmed: ${problem}`,
    removed_at: found.isGone ? finished_at : null,
  };
  await catalog.lockProbes.update(id, change);
  return { ...probe, ...change };
}

/**
 * The time of a probe: after that of the last one, which is the newest otherwise. A storage shows its time only to a
 * second and the time of its answer.
 */
async function afterLast({ catalog }: ProbeContext, { name }: Storage, now: Date): Promise<Date> {
  const last = (await catalog.lockProbes.latest()).find(({ storage }) => storage === name);
  return last ? new Date(Math.max(now.getTime(), Date.parse(last.probed_at) + 1)) : now;
}

/** A storage that pg321 has not recognized yet gets no object. */
async function requireMarked(context: ProbeContext, storage: Storage): Promise<void> {
  const known = (await context.catalog.identities.all()).find(({ name }) => name === storage.name);
  if (!known?.marked_at)
    throw new Pg321Error(
      "storage",
      `storage "${storage.name}": it has no marker yet, so nothing is written to it`,
      {
        hint: "make a first backup (pg321 backup), then probe again",
      },
    );
  await requireInPlace(context, storage, context.signal);
}

function endOfProbe(storage: Storage, by: LockProbeRecord["by"], now: Date): Date | undefined {
  if (by === "lock") return new Date(now.getTime() + PROBE_LOCK_MS);
  return endOf(storage.settings, { confirmed_at: now.toISOString() });
}

function probeKey(id: string, now: Date): string {
  const day = now.toISOString().replace(/[-:]/g, "").replace("T", "_").slice(0, 15);
  return `pg321-lock-probe_${day}_${shortId(id)}.txt`;
}

function textOf({ id, probed_at }: LockProbeRecord): string {
  return `probe ${id} of ${probed_at}: pg321 wrote this to see whether the storage refuses to delete it\n`;
}

interface Attempt {
  isRefused: boolean;
  isGone: boolean;
  message: string;
}

async function tryToDelete(storage: Storage, probe: LockProbeRecord, signal: AbortSignal): Promise<Attempt> {
  const { object_key: key } = probe;
  let removal: Removal;
  try {
    removal = await removeObject(storage, key, { why: "probe", probe }, signal);
  } catch (error) {
    signal.throwIfAborted();
    if (!REFUSALS.includes(failureOf(error).status)) throw error;
    return refusal(storage, key, messageOf(error), signal);
  }
  if (removal.outcome === "locked")
    return refusal(storage, key, `locked until ${timeText(removal.lockedUntil)}`, signal);
  if (removal.outcome === "hidden")
    return {
      isRefused: true,
      isGone: false,
      message: "it could be hidden by a delete marker, but its version could not be deleted",
    };
  return { isRefused: false, isGone: true, message: "it could be deleted" };
}

/** A refusal counts only if the object is still there. */
async function refusal(
  storage: Storage,
  key: string,
  message: string,
  signal: AbortSignal,
): Promise<Attempt> {
  if (await storage.head(key, signal)) return { isRefused: true, isGone: false, message };
  return { isRefused: false, isGone: true, message: "the object is gone although its deletion was refused" };
}

/**
 * Removes the objects of probes whose protection has ended; only those that this installation recorded. One that only
 * the provider's lifecycle rule may delete is watched. A failure is handed to `onFailure`, and the next cleanup tries again.
 */
export async function removeProbes(
  { catalog, clock, signal, storages }: ProbeContext & Pick<JobContext, "storages">,
  onFailure: (probe: LockProbeRecord, error: string) => void,
): Promise<void> {
  for (const probe of await catalog.lockProbes.standing()) {
    const storage = storages.find(({ name }) => name === probe.storage);
    if (!storage || (probe.locked_until !== null && new Date(probe.locked_until) > clock.now())) continue;
    try {
      const { object_key: key, by } = probe;
      const isThere = (await storage.head(key, signal)) !== undefined;
      if (isThere && by === "append-only") continue;
      const removal = await removeObject(storage, key, { why: "probe", probe }, signal);
      const change =
        removal.outcome === "locked"
          ? { locked_until: removal.lockedUntil.toISOString() }
          : { removed_at: clock.now().toISOString() };
      await catalog.lockProbes.update(probe.id, change);
    } catch (error) {
      signal.throwIfAborted();
      onFailure(probe, messageOf(error));
    }
  }
}
