import { unlessLate } from "../base/abort.ts";
import type { Clock } from "../base/clock.ts";
import { Pg321Error } from "../base/errors.ts";
import { silentLog } from "../base/log.ts";
import type { Config, StorageConfig } from "../config/config.ts";
import type { Marker } from "../storage/marker.ts";
import { decodeMarker, MARKER_BYTES_MAX, MARKER_KEY } from "../storage/marker.ts";
import type { Overlap, PlaceNames } from "../storage/place.ts";
import { overlapOf } from "../storage/place.ts";
import { openStorage } from "../storage/registry.ts";
import type { Storage } from "../storage/storage.ts";

/** What is known about the place of a configured storage. Facts are missing if the storage did not answer. */
export interface SeenPlace {
  storage: Storage;
  place?: PlaceNames;
  /** Null if there is none. */
  marker?: Marker | null;
  /** Ids of the markers in the directories or prefixes that contain it. */
  around?: readonly string[];
  /** Why the check failed. */
  error?: unknown;
}

const WORDS: Record<Overlap, (a: string, b: string) => string> = {
  same: (a, b) => `storages "${a}" and "${b}" are the same place`,
  inside: (a, b) => `storage "${a}" lies inside storage "${b}"`,
  around: (a, b) => `storage "${b}" lies inside storage "${a}"`,
};

/** Two configured storages that are one place, or of which one lies inside the other. */
export interface SharedPlace {
  names: [string, string];
  /** Code `usage`. */
  error: Pg321Error;
}

/** Every such pair: two names for one place would delete each other's objects and count one copy as two. */
function sharedPlaces(seen: readonly SeenPlace[]): SharedPlace[] {
  return seen.flatMap((a, index) =>
    seen.slice(index + 1).flatMap((b) => {
      const overlap = overlapBetween(a, b);
      if (overlap === undefined) return [];
      const error = new Pg321Error("usage", WORDS[overlap](a.storage.name, b.storage.name), {
        hint: "two copies in one place are worth one copy: give one of the storages another place, or remove it from the config",
      });
      return [{ names: [a.storage.name, b.storage.name], error }];
    }),
  );
}

/** The error of the first pair; undefined if all places are separate. */
export function sharedPlaceError(seen: readonly SeenPlace[]): Pg321Error | undefined {
  return sharedPlaces(seen)[0]?.error;
}

function overlapBetween(a: SeenPlace, b: SeenPlace): Overlap | undefined {
  const overlap = a.place && b.place && overlapOf(a.place, b.place);
  if (overlap !== undefined) return overlap;
  const [idOfA, idOfB] = [a.marker?.storage_id, b.marker?.storage_id];
  if (idOfA !== undefined && idOfA === idOfB) return "same";
  if (idOfB !== undefined && a.around?.includes(idOfB)) return "inside";
  if (idOfA !== undefined && b.around?.includes(idOfA)) return "around";
  return undefined;
}

/** The time limit for checking all places of a config. */
const CHECK_MS_MAX = 10_000;

/** Throws code `usage` if two storages in the config are the same place, as far as this host can see. */
export async function refuseSharedPlaces(
  config: Pick<Config, "storage">,
  options: { clock: Clock; signal: AbortSignal },
): Promise<void> {
  const [shared] = await findSharedPlaces(config, options);
  if (shared) throw shared.error;
}

/**
 * The storages in the config that are the same place. It compares their paths or endpoints, and their markers if they
 * are on this host or in buckets of the same name. A storage that does not answer is skipped.
 */
export async function findSharedPlaces(
  config: Pick<Config, "storage">,
  { clock, signal }: { clock: Clock; signal: AbortSignal },
): Promise<SharedPlace[]> {
  await using opened = new AsyncDisposableStack();
  const storages: { storage: Storage; isAsked: boolean }[] = [];
  for (const settings of config.storage) {
    const isTwin = (other: StorageConfig) =>
      other !== settings && other.type === "s3" && settings.type === "s3" && other.bucket === settings.bucket;
    const storage = opened.use(await openStorage({ ...settings, attempts: 1 }, { log: silentLog, clock }));
    storages.push({ storage, isAsked: settings.type === "local" || config.storage.some(isTwin) });
  }
  const all = storages.map(({ storage }) => storage);
  const limits = { clock, signal, durationMs: CHECK_MS_MAX };
  const late = () => new Pg321Error("storage", "no answer in time");
  const seen = storages.map(async ({ storage, isAsked }): Promise<SeenPlace> => {
    const place = await unlessLate(storage.place(signal), limits, late).catch(() => undefined);
    const names = place === undefined ? {} : { place };
    if (!isAsked) return { storage, ...names };
    return unlessLate(lookAtPlace(storage, all, signal), limits, late).catch(() => ({ storage, ...names }));
  });
  const shared = sharedPlaces(await Promise.all(seen));
  signal.throwIfAborted();
  return shared;
}

/**
 * Reads the marker of a place, and those of the places that contain it if other storages could be there. Throws what
 * the storage throws.
 */
export async function lookAtPlace(
  storage: Storage,
  others: readonly Storage[],
  signal: AbortSignal,
): Promise<SeenPlace> {
  const place = await storage.place(signal);
  const isAlone = others.every((other) => other === storage || other.settings.type !== storage.settings.type);
  const around = isAlone ? [] : await storage.around(MARKER_KEY, signal);
  const ids = around.flatMap((bytes) => idOf(storage, bytes) ?? []);
  return { storage, place, around: ids, marker: (await readMarker(storage, signal)) ?? null };
}

/** The marker of a storage, if there is one. Throws code `verification` if the object is not a valid marker. */
export async function readMarker(storage: Storage, signal: AbortSignal): Promise<Marker | undefined> {
  if ((await storage.head(MARKER_KEY, signal)) === undefined) return undefined;
  const range = { start: 0, length: MARKER_BYTES_MAX + 1 };
  const chunks = await Array.fromAsync(storage.get(MARKER_KEY, range, signal));
  return decodeMarker(storage.name, Buffer.concat(chunks));
}

function idOf({ name }: Storage, bytes: Uint8Array): string | undefined {
  try {
    return decodeMarker(name, bytes).storage_id;
  } catch {
    return undefined;
  }
}
