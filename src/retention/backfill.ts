import { DAY_MS } from "../base/limits.ts";
import { isAhead } from "../base/newest-good.ts";
import { Calendar } from "./calendar.ts";
import type { KeepRules, RetainedBackup } from "./facts.ts";
import { isOnHold } from "./guards.ts";
import { CountingRules } from "./keep-rules.ts";

export interface BackfilledStorage {
  name: string;
  keep: KeepRules;
  /** Unset: the backups of the last `keep.days`. */
  backfill?: "all" | "newest" | { max_age_ms: number } | undefined;
}

export interface BackfillCandidate
  extends Pick<RetainedBackup, "server" | "database" | "startedAt" | "isGood" | "isHeld" | "heldUntil"> {
  /** Names of the storages with a record of a copy, whatever became of it. */
  recorded: readonly string[];
  /** Those of them with a confirmed copy. */
  confirmed: readonly string[];
}

/**
 * Decides which earlier backups a storage gets that was added later. Gets all backups, newest first. With a `backfill` of
 * its own a storage gets no copy that its keep rules would let the next cleanup delete.
 */
export class Backfill {
  readonly #now: Date;
  readonly #calendar: Calendar;
  readonly #storages: readonly BackfilledStorage[];
  readonly #counting = new Map<string, CountingRules>();
  /** The databases whose newest good backup has passed. */
  readonly #seen = new Set<string>();

  constructor(options: { now: Date; timezone: string; storages: readonly BackfilledStorage[] }) {
    this.#now = options.now;
    this.#calendar = new Calendar(options.timezone);
    this.#storages = options.storages;
  }

  /** The names of the storages that get a copy of the next backup. `own`: the keep rules of its database, if it has some. */
  wanted(backup: BackfillCandidate, own?: KeepRules): string[] {
    const database = `${backup.server}/${backup.database}`;
    const isCounted = backup.isGood && !isAhead(backup.startedAt, this.#now);
    const isNewest = isCounted && !this.#seen.has(database);
    if (isCounted) this.#seen.add(database);
    return this.#storages
      .map((storage) => (own ? { ...storage, keep: own } : storage))
      .filter((storage) => this.#isWanted(storage, backup, { database, isCounted, isNewest }))
      .map(({ name }) => name);
  }

  #isWanted(
    { name, keep, backfill }: BackfilledStorage,
    backup: BackfillCandidate,
    { database, isCounted, isNewest }: { database: string; isCounted: boolean; isNewest: boolean },
  ): boolean {
    const ageMs = Math.max(0, this.#now.getTime() - backup.startedAt.getTime());
    const isRecorded = backup.recorded.includes(name);
    if (backfill === undefined) return !isRecorded && ageMs < keep.days * DAY_MS;
    const isInScope = backfill === "all" || (backfill === "newest" ? isNewest : ageMs <= backfill.max_age_ms);
    const isThere = backup.confirmed.includes(name);
    const mayGetIt = !isRecorded && isInScope && backup.isGood;
    if (!isThere && !mayGetIt) return false;
    // Those that are there count too: they use up the rules for the older ones.
    const reason = isCounted ? this.#rulesOf(database, name, keep).count(backup) : undefined;
    if (isThere) return false;
    return ageMs <= keep.days * DAY_MS || reason !== undefined || isOnHold(backup, this.#now);
  }

  #rulesOf(database: string, storage: string, keep: KeepRules): CountingRules {
    const key = `${database} ${storage}`;
    const rules = this.#counting.get(key) ?? new CountingRules(keep, this.#calendar);
    this.#counting.set(key, rules);
    return rules;
  }
}
