import { rfc3339 } from "../base/clock.ts";
import { DAY_MS } from "../base/limits.ts";
import { isAhead } from "../base/newest-good.ts";
import type { Calendar } from "./calendar.ts";
import type {
  NewestGood,
  RetainedBackup,
  RetainedCopy,
  RetainingStorage,
  RetentionDecision,
  RetentionRules,
} from "./facts.ts";
import { type BackupGuard, Guards, isOnHold } from "./guards.ts";
import { CountingRules } from "./keep-rules.ts";
import { renewedLockEnd } from "./locks.ts";
import { daysText, spanText } from "./spans.ts";

/** The rules that apply to every database. */
export interface Rules extends Pick<RetentionRules, "now" | "guard"> {
  lockHorizonMs: number;
  calendar: Calendar;
  storages: ReadonlyMap<string, RetainingStorage>;
}

/** A copy with its unfinished decision. */
interface Draft {
  copy: RetainedCopy;
  decision: RetentionDecision;
  storage: RetainingStorage | undefined;
  /** Beginning of the reason for a copy that is past its days. */
  tooOld: string;
  /**
   * Confirmed, and in a storage where only pg321 deletes: other copies may rely on it. A provider that deletes by
   * age would some day delete the last copy, too.
   */
  isReliable: boolean;
}

/**
 * Decides on the copies of one database. Gets its backups newest first, and its memory does not grow with them: a
 * backup is kept because of newer ones only.
 */
export class DatabasePlanner {
  readonly #rules: Rules;
  readonly #guards: Guards;
  readonly #counting = new Map<string, CountingRules>();
  #newestGood: NewestGood | undefined;
  /** Dated ahead: it counts only if there is no other, and all its copies are kept. */
  #newestAhead: NewestGood | undefined;

  constructor(rules: Rules) {
    this.#rules = rules;
    this.#guards = new Guards(rules);
    for (const { name, keep } of rules.storages.values())
      this.#counting.set(name, new CountingRules(keep, rules.calendar));
  }

  /** By the rule of `base/newest-good.ts`. Known once all backups have been decided on. */
  get newestGood(): NewestGood | undefined {
    return this.#newestGood ?? this.#newestAhead;
  }

  /** The decisions on the copies of the next backup, by storage. */
  decide(backup: RetainedBackup): RetentionDecision[] {
    const { now, storages } = this.#rules;
    const isDatedAhead = isAhead(backup.startedAt, now);
    if (isDatedAhead) this.#seeAhead(backup);
    const counts = new Map<string, string | undefined>();
    let isOurs = false;
    for (const { storage: name, isConfirmed } of backup.isGood && !isDatedAhead ? backup.copies : []) {
      const storage = storages.get(name);
      if (!isConfirmed || storage === undefined) continue;
      isOurs ||= storage.expire;
      counts.set(name, this.#counting.get(name)?.count(backup));
    }
    const age = spanText(Math.max(0, now.getTime() - backup.startedAt.getTime()));
    const drafts = backup.copies
      .map((copy) => judge(copy, backup, age, this.#rules, counts.get(copy.storage)))
      .sort((a, b) => (a.decision.storage < b.decision.storage ? -1 : 1));
    const guard = counts.size === 0 ? undefined : this.#guards.count(backup, isOurs);
    const stays = guard === undefined ? [] : protect(drafts, guard);
    if (guard?.guard === "newest-good") {
      const { server, database, id } = backup;
      this.#newestGood = { server, database, backupId: id, storages: stays };
    }
    for (const draft of drafts) this.#renewLock(draft, backup, counts, guard !== undefined);
    return drafts.map(({ decision }) => decision);
  }

  /** A lock lasts as long as the copy is kept. */
  #renewLock(
    { copy, decision, storage, tooOld }: Draft,
    backup: RetainedBackup,
    counts: ReadonlyMap<string, string | undefined>,
    isGuarded: boolean,
  ): void {
    const { now, lockHorizonMs: horizonMs } = this.#rules;
    const { startedAt } = backup;
    if (!storage?.lock || !copy.isConfirmed || decision.action !== "keep" || decision.guard === "locked")
      return;
    if (decision.isLeftToProvider || !(startedAt <= now)) return;
    const isCounted = counts.get(copy.storage) !== undefined || isGuarded;
    const isHeld = isOnHold(backup, now);
    const keptUntil: Date | "unknown" | undefined =
      isCounted || (isHeld && backup.heldUntil === undefined) || (tooOld !== "" && !isHeld)
        ? "unknown"
        : isHeld
          ? backup.heldUntil
          : undefined;
    const locked = { startedAt, lockedUntil: copy.lockedUntil, isWeak: copy.isLockWeak === true, keptUntil };
    const end = renewedLockEnd(storage.lock, storage.keep.days, locked, { now, horizonMs });
    if (end) decision.lockUntil = end;
  }

  #seeAhead({ id, server, database, isGood, copies }: RetainedBackup): void {
    const { storages } = this.#rules;
    const confirmed = copies.filter(({ storage, isConfirmed }) => isConfirmed && storages.has(storage));
    if (!isGood || confirmed.length === 0 || this.#newestAhead !== undefined) return;
    const names = confirmed.map(({ storage }) => storage).sort();
    this.#newestAhead = { server, database, backupId: id, storages: names };
  }
}

function isTooOld({ startedAt }: RetainedBackup, { keep }: RetainingStorage, now: Date): boolean {
  return now.getTime() - startedAt.getTime() > keep.days * DAY_MS;
}

/** Shared by all decisions that rely on nothing, which are nearly all. */
const NOTHING: readonly string[] = [];

/** The decision on a copy by the storage's own rules, a person's hold and an object lock. */
function judge(
  copy: RetainedCopy,
  backup: RetainedBackup,
  age: string,
  rules: Rules,
  count: string | undefined,
): Draft {
  const { now } = rules;
  const storage = rules.storages.get(copy.storage);
  const decision: RetentionDecision = {
    backupId: backup.id,
    server: backup.server,
    database: backup.database,
    storage: copy.storage,
    bytes: copy.bytes,
    isConfirmed: copy.isConfirmed,
    action: "keep",
    reason: "",
    reliesOn: NOTHING,
  };
  const draft: Draft = {
    copy,
    decision,
    storage,
    tooOld: "",
    isReliable: copy.isConfirmed && storage?.expire === true,
  };
  if (storage === undefined) {
    decision.reason = "its storage is not in the config";
  } else if (isAhead(backup.startedAt, now)) {
    decision.reason = "it is dated ahead of the clock, so its age is unknown";
  } else if (!isTooOld(backup, storage, now)) {
    decision.reason = `not older than ${daysText(storage.keep.days)} (${age})`;
  } else {
    draft.tooOld = `older than ${daysText(storage.keep.days)} (${age})`;
    if (!storage.expire) {
      decision.reason = `${draft.tooOld}, and left to the provider's lifecycle rule`;
      decision.isLeftToProvider = true;
    } else if (count !== undefined) {
      decision.reason = `${draft.tooOld}, but ${count}`;
    } else if (backup.isNeeded) {
      decision.reason = `${draft.tooOld}, but a backup of its run is still kept`;
    } else if (isOnHold(backup, now)) {
      const until = backup.heldUntil === undefined ? "" : ` until ${rfc3339(backup.heldUntil)}`;
      const why = backup.heldFor === undefined ? "" : ` (${backup.heldFor})`;
      decision.reason = `${draft.tooOld}, but the backup is on hold${until}${why}`;
      decision.guard = "held";
    } else if (copy.lockedUntil !== undefined && copy.lockedUntil > now) {
      decision.reason = `${draft.tooOld}, but locked until ${rfc3339(copy.lockedUntil)} by ${copy.lockedBy ?? "Object Lock"}`;
      decision.guard = "locked";
    } else {
      decision.reason = `${draft.tooOld}, and no other rule keeps it`;
      decision.action = "expire";
    }
  }
  return draft;
}

/**
 * Keeps one confirmed copy of a guarded backup, if it had any, and records in the others which copies they rely on.
 * Returns the storages of the confirmed copies that are kept.
 */
function protect(drafts: readonly Draft[], { guard, reason }: BackupGuard): string[] {
  const confirmed = drafts.filter(({ isReliable }) => isReliable);
  if (confirmed.every(({ decision }) => decision.action === "expire")) {
    // Prefers a copy off-site; among equals the first by name, so that the choice is stable.
    const last = confirmed.find(({ storage }) => storage?.offSite) ?? confirmed[0];
    if (last === undefined) return [];
    last.decision.action = "keep";
    last.decision.guard = guard;
    last.decision.reason = `${last.tooOld}, but it is the last confirmed copy ${reason}`;
  }
  const stays = confirmed
    .filter(({ decision }) => decision.action === "keep")
    .map(({ decision }) => decision.storage);
  for (const { decision } of drafts) {
    if (decision.action !== "expire") continue;
    decision.reliesOn = stays;
    decision.reason += `; the backup stays in ${stays.join(", ")}`;
  }
  return stays;
}
