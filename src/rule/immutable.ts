import type { StorageConfig } from "../config/config.ts";
import {
  copyImmutability,
  endOf,
  lockEndInForce,
  storageImmutability,
  withLockInForce,
} from "../storage/immutability.ts";
import type { Judged } from "./counted.ts";
import { backupStep, countedIn, withoutBackup } from "./counted.ts";
import type { RuledCopy, RuleFacts } from "./facts.ts";
import { archivesOf } from "./setup.ts";

/**
 * 1 immutable: copies that nobody can delete at this moment, by the judgement of `storage/immutability.ts`: a lock that
 * the storage has confirmed, or a rule of the bucket after it refused the deletion of a probe object.
 */
export function immutableMark(facts: RuleFacts): Judged {
  const { backup, demands, now, storages, probes } = facts;
  if (backup === null) return withoutBackup(facts, "immutable");
  const looks = countedIn(facts).flatMap((storage) => {
    const copy = backup.copies.find((one) => one.storage === storage.name);
    const probe = probes.get(storage.name);
    return copy ? { storage, copy, ...copyImmutability(storage, probe, copy, now) } : [];
  });
  const held = looks.filter(({ isImmutable }) => isImmutable);
  const listed = (some: readonly (typeof looks)[number][]) =>
    some.map(({ storage: { name }, sentence }) => `${name}: ${sentence}`);
  if (held.length >= demands.immutable) return { state: "held", sentence: listed(held).join("; ") };
  const wanted = storages.filter((storage) => isWanted(facts, storage));
  const have =
    held.length === 0
      ? "no copy is immutable"
      : `${held.length} of ${demands.immutable} copies are immutable`;
  const why = looks.filter(({ storage, isImmutable }) => wanted.includes(storage) && !isImmutable);
  const sentence = [have, ...listed(why)].join("; ");
  if (wanted.length < demands.immutable)
    return {
      state: "not_set_up",
      sentence: wanted.length === 0 ? `${have}: no storage is set up to keep its copies` : sentence,
      next_step: "lock the copies of an S3 storage: docs/immutability.md",
    };
  const unproven = wanted.map((storage) => storageImmutability(storage, probes.get(storage.name)).nextStep);
  const next_step = unproven.find((step) => step !== null) ?? backupStep(facts);
  // Until the storage was asked, or has refused, nothing is known: a new setting is not a loss.
  const isRefused = wanted.some((storage) => {
    const { name } = storage;
    // A probe object could be deleted.
    if (storageImmutability(storage, probes.get(name)).by === "none") return true;
    const copy = backup.copies.find((one) => one.storage === name);
    return (
      copy !== undefined && (copy.state !== "CONFIRMED" || withLockInForce(storage, copy).lock_error !== null)
    );
  });
  const lost_at = lostAt(facts, looks, demands.immutable - held.length);
  if (isRefused || lost_at !== null || facts.had.includes("immutable"))
    return { state: "lost", sentence, next_step, lost_at };
  return { state: "not_set_up", sentence, next_step };
}

function isWanted({ storages, probes }: RuleFacts, storage: StorageConfig): boolean {
  if (archivesOf(storages).includes(storage.name)) return false;
  return storageImmutability(storage, probes.get(storage.name)).isWanted;
}

/** When the last of the missing protections ended; null if time is not the reason. */
function lostAt(
  { now, probes }: RuleFacts,
  looks: readonly { storage: StorageConfig; copy: RuledCopy; isImmutable: boolean }[],
  missing: number,
): Date | null {
  const ends = looks.flatMap(({ storage, copy, isImmutable }) => {
    const { by } = storageImmutability(storage, probes.get(storage.name));
    if (isImmutable || by === "none" || by === "unproven") return [];
    const lockEnd = lockEndInForce(storage, copy);
    const locked = lockEnd === null ? undefined : new Date(lockEnd);
    const end = by === "lock" ? locked : endOf(storage, copy);
    return end !== undefined && end <= now ? end : [];
  });
  return ends.toSorted((a, b) => b.getTime() - a.getTime())[missing - 1] ?? null;
}
