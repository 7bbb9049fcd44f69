import { rfc3339 } from "../base/clock.ts";
import { DAY_MS } from "../base/limits.ts";
import { isAhead } from "../base/newest-good.ts";
import { plural } from "../base/text/amounts.ts";
import { timeText } from "../base/text/zoned-time.ts";
import type { LockMode, StorageConfig } from "../config/config.ts";

/** The newest finished probe of a storage; see `LockProbeRecord`. */
export interface ProbeFacts {
  by: "lock" | "bucket-rule" | "append-only";
  probed_at: string;
  refused: boolean;
  message: string;
}

/**
 * The place and the protection that a probe of a storage is about. After a change of either, an older probe proves
 * nothing: the new bucket may have no such rule.
 */
export function probedPlace(settings: StorageConfig): string | null {
  if (settings.type === "local") return null;
  const { endpoint, bucket, prefix } = settings;
  return JSON.stringify([endpoint, bucket, prefix, wantedOf(settings)?.what ?? null]);
}

/** By the name of a storage: its probe, if it is about the place and the protection that the config names now. */
export function probesInForce<P extends ProbeFacts & { storage: string; place: string | null }>(
  probes: readonly P[],
  storages: readonly StorageConfig[],
): Map<string, P> {
  const places = new Map(storages.map((settings) => [settings.name, probedPlace(settings)]));
  const inForce = probes.filter(({ storage, place }) => place !== null && places.get(storage) === place);
  return new Map(inForce.map((probe) => [probe.storage, probe]));
}

/** The recorded lock of a copy; see `CopyRecord`. */
export interface RecordedLock {
  locked_until: string | null;
  lock_mode: LockMode | null;
  lock_error: string | null;
  lock_place: string | null;
}

/** The recorded facts of one copy; see `CopyRecord`. */
export interface LockFacts extends RecordedLock {
  state: string;
  confirmed_at: string | null;
}

/** The place that a lock is about: what another bucket holds under the same key has no such lock. */
export function lockPlace(settings: StorageConfig): string | null {
  if (settings.type === "local") return null;
  return JSON.stringify([settings.endpoint, settings.bucket, settings.prefix]);
}

/** The end of a recorded lock, if the place that the config names now has confirmed it. */
export function lockEndInForce(
  settings: StorageConfig,
  { locked_until, lock_place }: Pick<RecordedLock, "locked_until" | "lock_place">,
): string | null {
  return lock_place !== null && lock_place === lockPlace(settings) ? locked_until : null;
}

/** A copy without its recorded lock if another place than that of the config has confirmed it: it must be read again. */
export function withLockInForce<C extends RecordedLock>(settings: StorageConfig, copy: C): C {
  if (copy.locked_until === null || lockEndInForce(settings, copy) !== null) return copy;
  const lock_error =
    "its lock was confirmed at another place than the one that the config names now; pg321 verify reads it again";
  return { ...copy, locked_until: null, lock_mode: null, lock_error };
}

/**
 * What makes the copies of a storage immutable. `unproven`: the config names something that a probe must show first.
 * `none`: nothing, or something that a probe refuted.
 */
export type ImmutableBy = "lock" | "bucket-rule" | "append-only" | "unproven" | "none";

export interface StorageImmutability {
  by: ImmutableBy;
  /** Whether copies in this storage can count as immutable. */
  isImmutable: boolean;
  /** Whether the config asks for immutable copies here. */
  isWanted: boolean;
  /** When the storage last refused to delete a probe object; null: no such probe, or the last one was deleted. */
  probedAt: string | null;
  /** One sentence for people: lower case, no full stop. */
  sentence: string;
  /** What a person can do about it; null if it is immutable. */
  nextStep: string | null;
}

/** Whether copies in a storage can be immutable, by its settings and its newest probe. Pure. */
export function storageImmutability(
  settings: StorageConfig,
  probe: ProbeFacts | undefined,
): StorageImmutability {
  const { name } = settings;
  if (settings.type === "local")
    return {
      by: "none",
      isImmutable: false,
      isWanted: false,
      probedAt: null,
      sentence: "not immutable: the owner of a directory and root can delete every file in it",
      nextStep: "add an S3 storage with Object Lock: docs/immutability.md",
    };
  const wanted = wantedOf(settings);
  if (wanted === undefined)
    return {
      by: "none",
      isImmutable: false,
      isWanted: false,
      probedAt: null,
      sentence: "not immutable: its access key can delete every copy",
      nextStep: `set lock of storage "${name}": docs/immutability.md`,
    };
  const { by, what } = wanted;
  // A probe of another kind, from before a change of the config, says nothing.
  const probed = probe?.by === by ? probe : undefined;
  if (probed?.refused === false)
    return {
      by: "none",
      isImmutable: false,
      isWanted: true,
      probedAt: null,
      sentence: `not immutable: at ${timeText(probed.probed_at)} a probe object was not protected (${what}): ${probed.message}`,
      nextStep: `check the bucket and the access key, then run: pg321 doctor --probe-lock`,
    };
  const probedAt = probed?.probed_at ?? null;
  if (probedAt === null && by !== "lock")
    return {
      by: "unproven",
      isImmutable: false,
      isWanted: true,
      probedAt,
      sentence: `not immutable yet: no probe has shown that the storage refuses deletions (${what})`,
      nextStep: "run: pg321 doctor --probe-lock",
    };
  const shown = probedAt === null ? "" : `; refused to delete a probe object at ${timeText(probedAt)}`;
  return {
    by,
    isImmutable: true,
    isWanted: true,
    probedAt,
    sentence: `${what}${shown}`,
    nextStep: null,
  };
}

export interface CopyImmutability {
  isImmutable: boolean;
  /** The end of its protection; null if it is not immutable. */
  until: string | null;
  /** One sentence for people, without the storage's name: lower case, no full stop. */
  sentence: string;
}

/**
 * Whether nobody can delete a copy now, not even with the storage's access key: only by a lock that the storage has
 * confirmed, or in a storage that refused to delete a probe object. Pure.
 */
export function copyImmutability(
  settings: StorageConfig,
  probe: ProbeFacts | undefined,
  recorded: LockFacts,
  now: Date,
): CopyImmutability {
  const copy = withLockInForce(settings, recorded);
  const storage = storageImmutability(settings, probe);
  const not = (sentence: string): CopyImmutability => ({ isImmutable: false, until: null, sentence });
  if (copy.state !== "CONFIRMED") return not("not immutable: the copy is not good");
  if (!storage.isImmutable || settings.type === "local") return not(storage.sentence);
  if (storage.by === "lock") {
    const { locked_until: until, lock_error: error } = copy;
    if (until === null) return not(`not locked: ${error ?? "the storage was not asked yet"}`);
    if (new Date(until) <= now) return not(`not locked any more: its lock ended at ${timeText(until)}`);
    return { isImmutable: true, until, sentence: lockText(copy) ?? "" };
  }
  const until = endOf(settings, copy);
  if (until === undefined) return not("not immutable: it is not known when the copy was stored");
  // The protection has begun earlier, by a clock that was wrong.
  if (copy.confirmed_at !== null && isAhead(new Date(copy.confirmed_at), now))
    return not(
      `not immutable: by its record it was stored at ${timeText(copy.confirmed_at)}, in the future; pg321 verify dates it again`,
    );
  if (until <= now) return not(`not immutable any more: ${storage.sentence} ended at ${timeText(until)}`);
  const how = storage.by === "append-only" ? "append-only" : "kept by a rule of the bucket";
  return { isImmutable: true, until: rfc3339(until), sentence: `${how} until ${timeText(until)}` };
}

/** Until when and how a copy is locked: `locked until 2027-01-31 00:00:00 UTC (compliance)`; undefined if it is not. */
export function lockText({
  locked_until,
  lock_mode,
}: Pick<LockFacts, "locked_until" | "lock_mode">): string | undefined {
  if (locked_until === null) return undefined;
  return `locked until ${timeText(locked_until)}${lock_mode === null ? "" : ` (${lock_mode})`}`;
}

/** Whether a rule of the bucket keeps objects from being deleted. */
export function hasBucketRule(settings: StorageConfig): boolean {
  return settings.type === "s3" && settings.immutable !== undefined;
}

/** The end of the protection that no single object shows: by the bucket's rule, or by the provider's lifecycle rule. */
export function endOf(
  settings: StorageConfig,
  { confirmed_at }: Pick<LockFacts, "confirmed_at">,
): Date | undefined {
  if (settings.type === "local" || confirmed_at === null) return undefined;
  const days = settings.immutable?.days ?? settings.keep.days;
  return new Date(Date.parse(confirmed_at) + days * DAY_MS);
}

/** What a storage's settings say protects its objects; undefined if nothing does. */
export function wantedOf(settings: StorageConfig): { by: ProbeFacts["by"]; what: string } | undefined {
  if (settings.type === "local") return undefined;
  const { lock, immutable, expire } = settings;
  if (lock) return { by: "lock", what: `locks each copy for ${plural(lock.days, "day")} (${lock.mode})` };
  if (immutable)
    return {
      by: "bucket-rule",
      what: `a rule of the bucket keeps each object for ${plural(immutable.days, "day")}`,
    };
  if (expire === "provider-lifecycle")
    return { by: "append-only", what: "append-only: only the provider's lifecycle rule deletes" };
  return undefined;
}
