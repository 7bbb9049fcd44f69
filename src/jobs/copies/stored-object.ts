import { Pg321Error } from "../../base/errors.ts";
import { MANIFEST_BYTES_MAX, PART_BYTES_MIN } from "../../base/limits.ts";
import type { BackupRecord } from "../../catalog/records.ts";
import type { Manifest } from "../../sealed/manifest.ts";
import { decodeManifest, manifestText } from "../../sealed/manifest.ts";
import type { Storage } from "../../storage/storage.ts";
import { BufferPool } from "../../stream/buffer-pool.ts";
import { metered, newMeter } from "../../stream/meter.ts";
import { partsOf } from "../../stream/part.ts";
import { parts } from "../../stream/parts.ts";
import type { JobContext } from "../context.ts";
import { manifestKey } from "./object-key.ts";
import type { WatchedPutOptions } from "./watched-put.ts";
import { watchedPut } from "./watched-put.ts";

/** Parts of a copy from storage to storage that are in memory at once. */
const PARTS_IN_FLIGHT = 4;

/** What must be known of an object to copy or check it. */
export type ObjectFacts = Pick<BackupRecord, "object_key" | "object_bytes" | "object_sha256">;

/**
 * Copies an object as it is stored from one storage to another, and checks it on the way: the copy is
 * committed only when size and hash are the recorded ones. Throws code `verification` when the source is
 * damaged (nothing is left at the target), else what the storages throw. `onSourceError` hears of an error of
 * the source, which what is thrown may not show.
 */
export async function copyObject(
  from: Storage,
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
 * The bytes of a stored object; throws code `verification` at the end, instead of ending, when size or
 * hash are not the recorded ones. What was read until then must not have been acted upon.
 */
export async function* checkedObject(
  storage: Storage,
  facts: ObjectFacts,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const meter = newMeter();
  yield* metered(storage.get(facts.object_key, undefined, signal), meter);
  if (meter.bytes === facts.object_bytes && meter.sha256 === facts.object_sha256) return;
  const what =
    meter.bytes === facts.object_bytes
      ? "its SHA-256 differs from the recorded one"
      : `it has ${meter.bytes} bytes, not ${facts.object_bytes}`;
  throw new Pg321Error("verification", `storage "${storage.name}": ${facts.object_key} is damaged: ${what}`, {
    hint: "pg321 repair replaces it from a good copy",
  });
}

/** Proof that a copy was read whole in this operation, and found right; only `readWhole` makes one. */
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

/** Reads a stored object whole; throws as `checkedObject` does. */
export async function readWhole(
  storage: Storage,
  facts: ObjectFacts,
  signal: AbortSignal,
): Promise<WholeRead> {
  for await (const _ of checkedObject(storage, facts, signal));
  return new ReadProof(storage.name, facts.object_key);
}

/** Puts a manifest beside its object. */
export async function putManifest(
  storage: Storage,
  key: string,
  text: string,
  options: Pick<WatchedPutOptions, "signal" | "clock" | "stallTimeoutMs">,
): Promise<void> {
  const body = partsOf(new TextEncoder().encode(text));
  await watchedPut(storage, manifestKey(key), body, { ...options, partBytes: PART_BYTES_MIN });
}

/** The text of the manifest beside an object, as it is; undefined when there is none. Throws code `verification` for what is no text. */
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
 * The manifest beside an object, verified; undefined when there is none. Throws code `verification` or
 * `key` when there is one that is not good.
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
