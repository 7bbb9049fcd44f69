import { Pg321Error } from "../../base/errors.ts";
import { MANIFEST_BYTES_MAX, PART_BYTES_MIN } from "../../base/limits.ts";
import { twoSizes } from "../../base/text/amounts.ts";
import type { BackupRecord } from "../../catalog/records.ts";
import type { Manifest } from "../../sealed/manifest.ts";
import { decodeManifest, manifestText } from "../../sealed/manifest.ts";
import type { Storage, StoredObject } from "../../storage/storage.ts";
import { BufferPool } from "../../stream/buffer-pool.ts";
import { metered, newMeter } from "../../stream/meter.ts";
import { partsOf } from "../../stream/part.ts";
import { parts } from "../../stream/parts.ts";
import type { JobContext } from "../context.ts";
import { manifestKey } from "./object-key.ts";
import type { WatchedPutOptions } from "./watched-put.ts";
import { watchedPut } from "./watched-put.ts";

/** Parts in memory at once during a copy from storage to storage. */
const PARTS_IN_FLIGHT = 4;

/** The facts needed to copy or check an object. */
export type ObjectFacts = Pick<BackupRecord, "object_key" | "object_bytes" | "object_sha256">;

/**
 * Copies a stored object from one storage to another and checks it on the way: the copy is committed only if size and
 * hash match the record. Throws code `verification` if the source is damaged (then nothing is left at the target), or
 * whatever the storages throw. `onSourceError` gets an error of the source, because the thrown error may not show it.
 */
export async function copyObject(
  from: Pick<Storage, "name" | "get">,
  to: Storage,
  facts: ObjectFacts,
  options: WatchedPutOptions & { onSourceError?: (error: Pg321Error) => void },
): Promise<void> {
  const { signal, partBytes, onSourceError } = options;
  async function* source(): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      yield* checkedObject(from, facts, signal);
    } catch (error) {
      if (error instanceof Pg321Error) onSourceError?.(error);
      throw error;
    }
  }
  const body = parts(source(), new BufferPool(partBytes, PARTS_IN_FLIGHT), () => 1, signal);
  await watchedPut(to, facts.object_key, body, options);
}

/**
 * The bytes of a stored object. Throws code `verification` at the end if size or hash differ from the record, so the
 * bytes must not be acted upon before the end.
 */
export async function* checkedObject(
  storage: Pick<Storage, "name" | "get">,
  facts: ObjectFacts,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const meter = newMeter();
  yield* metered(storage.get(facts.object_key, undefined, signal), meter);
  if (meter.bytes === facts.object_bytes && meter.sha256 === facts.object_sha256) return;
  const [found, recorded] = twoSizes(meter.bytes, facts.object_bytes ?? 0);
  const what =
    meter.bytes === facts.object_bytes
      ? "its SHA-256 differs from the recorded one"
      : `it has ${found}, not ${recorded}`;
  throw new Pg321Error("verification", `storage "${storage.name}": ${facts.object_key} is damaged: ${what}`, {
    hint: "pg321 repair replaces it from a good copy",
  });
}

/** Proof that a copy was read completely in this operation and found good. Only `readWhole` creates it. */
class ReadProof {
  readonly #isProof = true;
  readonly storage: string;
  readonly key: string;

  constructor(storage: string, key: string) {
    this.storage = storage;
    this.key = key;
  }

  get isProof(): boolean {
    return this.#isProof;
  }
}
export type WholeRead = ReadProof;

/** Reads a whole stored object; throws as `checkedObject` does. */
export async function readWhole(
  storage: Storage,
  facts: ObjectFacts,
  signal: AbortSignal,
): Promise<WholeRead> {
  for await (const _ of checkedObject(storage, facts, signal));
  return new ReadProof(storage.name, facts.object_key);
}

/** Writes a manifest beside its object. */
export async function putManifest(
  storage: Storage,
  key: string,
  text: string,
  options: Pick<WatchedPutOptions, "signal" | "clock" | "stallTimeoutMs" | "lock" | "onTop">,
): Promise<void> {
  const body = partsOf(new TextEncoder().encode(text));
  await watchedPut(storage, manifestKey(key), body, { ...options, partBytes: PART_BYTES_MIN });
}

/**
 * The unverified text of an object's manifest; undefined if there is none. Throws code `verification` if it is not
 * text.
 */
export async function readManifestText(
  storage: Storage,
  key: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const found = await storage.head(manifestKey(key), signal);
  if (!found) return undefined;
  const range = { start: 0, length: MANIFEST_BYTES_MAX + 1 };
  const chunks = await Array.fromAsync(storage.get(manifestKey(key), range, signal));
  return manifestText(Buffer.concat(chunks));
}

/**
 * The verified manifest of an object; undefined if there is none. Throws code `verification` or `key` if it is not
 * valid.
 */
export async function readManifest(
  context: Pick<JobContext, "keys">,
  storage: Storage,
  key: string,
  signal: AbortSignal,
): Promise<{ manifest: Manifest; text: string } | undefined> {
  const text = await readManifestText(storage, key, signal);
  if (text === undefined) return undefined;
  return { manifest: decodeManifest(text, await context.keys.trustedSigners()), text };
}

/**
 * Since when a storage has held an object that this run did not write: a rule of the bucket counts from then. The end of
 * the backup if the storage gives no date; never later than now.
 */
export function storedAt(
  object: Pick<StoredObject, "modifiedAt"> | undefined,
  { started_at, finished_at }: Pick<BackupRecord, "started_at" | "finished_at">,
  now: Date,
): string {
  const modifiedMs = object?.modifiedAt.getTime() ?? 0;
  const storedMs = modifiedMs > 0 ? modifiedMs : Date.parse(finished_at ?? started_at);
  return new Date(storedMs < now.getTime() ? storedMs : now.getTime()).toISOString();
}

/** Dates a copy by its object if its record says that it was stored in the future: the clock was wrong then. */
export async function dateAgain(
  { catalog, clock, signal }: Pick<JobContext, "catalog" | "clock" | "signal">,
  backup: Pick<BackupRecord, "id" | "object_key" | "started_at" | "finished_at">,
  storage: Storage,
): Promise<void> {
  const copy = (await catalog.copies(backup.id)).find((one) => one.storage === storage.name);
  const now = clock.now();
  if (!copy?.confirmed_at || new Date(copy.confirmed_at) <= now) return;
  const confirmed_at = storedAt(await storage.head(backup.object_key, signal), backup, now);
  await catalog.updateCopy(backup.id, storage.name, { confirmed_at });
}
