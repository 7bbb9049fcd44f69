import { createHash, type Hash } from "node:crypto";
import { Pg321Error } from "../base/errors.ts";
import { isAhead } from "../base/newest-good.ts";
import { Calendar } from "./calendar.ts";
import { DatabasePlanner, type Rules } from "./database-plan.ts";
import type {
  FutureDated,
  NewestGood,
  PlanOutline,
  RetainedBackup,
  RetentionDecision,
  RetentionRules,
  Suspension,
} from "./facts.ts";
import { MassExpiry, type Stops } from "./mass-expiry.ts";

export type * from "./facts.ts";

/** Hex digits of a plan's hash: few enough to type, too many to match by chance. */
const HASH_DIGITS = 16;
/** Number of backups dated ahead that are named: after a clock was wrong for long, all would be. */
const FUTURE_DATED_MAX = 100;

/**
 * The order in which plans get the backups of a database: newest first, at the same moment the greater id first. An
 * invalid date comes first, with those in the future.
 */
export function newestFirst(
  a: Pick<RetainedBackup, "id" | "startedAt">,
  b: Pick<RetainedBackup, "id" | "startedAt">,
): number {
  const [aMs, bMs] = [a.startedAt.getTime(), b.startedAt.getTime()];
  if (Number.isNaN(aMs) !== Number.isNaN(bMs)) return Number.isNaN(aMs) ? -1 : 1;
  return bMs - aMs || (a.id > b.id ? -1 : 1);
}

/**
 * Decides about every copy whether it is kept, before any stop. Gets the backups database by database, each in the
 * order of `newestFirst`. Its memory does not grow with the backups. Throws if they come in another order, because
 * then it would expire the wrong ones.
 */
export class RetentionPlanner {
  readonly #rules: Rules;
  readonly #keepOf: RetentionRules["keepOf"];
  readonly #onDatabase: (newestGood: NewestGood | undefined) => void;
  readonly #ended = new Set<string>();
  /** The start of the last backup with a believable date. */
  #previous: Date | undefined;
  #database: { key: string; planner: DatabasePlanner } | undefined;

  /** `onDatabase` is called as each database ends. */
  constructor(rules: RetentionRules, onDatabase: (newestGood: NewestGood | undefined) => void = () => {}) {
    const { now, guard, storages, timezone, lockHorizonMs = 0, keepOf } = rules;
    this.#keepOf = keepOf;
    this.#rules = {
      now,
      lockHorizonMs,
      guard,
      calendar: new Calendar(timezone),
      storages: new Map(storages.map((storage) => [storage.name, storage])),
    };
    this.#onDatabase = onDatabase;
  }

  decide(backup: RetainedBackup): RetentionDecision[] {
    const { id, server, database, startedAt } = backup;
    const key = `${server}\0${database}`;
    if (this.#database?.key !== key) {
      this.end();
      if (this.#ended.has(key)) throw new Error(`${server}/${database} came a second time`);
      this.#database = { key, planner: new DatabasePlanner(this.#rulesOf(server, database)) };
    }
    if (!isAhead(startedAt, this.#rules.now)) {
      if (this.#previous !== undefined && startedAt > this.#previous)
        throw new Pg321Error(
          "storage",
          `the start of backup ${id} of ${server}/${database} is out of order`,
          {
            hint: "its started_at in the catalog was not written by pg321: correct it to the form 2026-11-23T05:00:00.000Z",
          },
        );
      this.#previous = startedAt;
    }
    return this.#database.planner.decide(backup);
  }

  #rulesOf(server: string, database: string): Rules {
    const keepOf = this.#keepOf;
    if (!keepOf) return this.#rules;
    const storages = [...this.#rules.storages].map(
      ([name, storage]) => [name, { ...storage, keep: keepOf(server, database, name) }] as const,
    );
    return { ...this.#rules, storages: new Map(storages) };
  }

  /** Call after the last backup. */
  end(): void {
    if (this.#database === undefined) return;
    this.#ended.add(this.#database.key);
    this.#onDatabase(this.#database.planner.newestGood);
    this.#database = undefined;
    this.#previous = undefined;
  }
}

/**
 * A first pass over every backup: finds what expires, and where the plan must stop. Its decisions are final only
 * after `PlanOutline.finalDecision`; they may be made again from the same backups, or be kept as they come. The
 * same facts give the same plan in any order of the databases, and once it is carried out the same facts expire
 * nothing more.
 */
export class RetentionSurvey {
  readonly #rules: RetentionRules;
  readonly #planner: RetentionPlanner;
  readonly #mass = new MassExpiry();
  readonly #newestGood: NewestGood[] = [];
  readonly #futureDated: FutureDated[] = [];
  /** Hashes of the expiring copies, for each database that has some. */
  readonly #hashes: string[] = [];
  #hash: Hash | undefined;

  constructor(rules: RetentionRules) {
    this.#rules = rules;
    this.#planner = new RetentionPlanner(rules, (newestGood) => this.#endDatabase(newestGood));
  }

  /** Takes the next backup, in the order of a `RetentionPlanner`. Returns its decisions, which are not final yet. */
  add(backup: RetainedBackup): RetentionDecision[] {
    const decisions = this.#planner.decide(backup);
    for (const decision of decisions) {
      this.#mass.count(decision);
      if (decision.action !== "expire") continue;
      this.#hash ??= createHash("sha256");
      this.#hash.update(`${JSON.stringify([decision.backupId, decision.storage])}\n`);
    }
    if (isAhead(backup.startedAt, this.#rules.now)) this.#addFutureDated(backup);
    return decisions;
  }

  /** The result of all backups. */
  end(): PlanOutline {
    this.#planner.end();
    const { clockSuspicion, confirmedPlanHash } = this.#rules;
    const stops = this.#mass.stops(clockSuspicion);
    const planHash = hashOf(this.#hashes, stops.suspended);
    const isConfirmed = confirmedPlanHash === planHash;
    return {
      suspended: isConfirmed ? [] : stops.suspended,
      planHash,
      isConfirmed,
      futureDated: this.#newestDated(),
      newestGood: this.#newestGood,
      counts: isConfirmed ? this.#mass.counts() : stops.counts,
      stopOf: isConfirmed ? () => undefined : stops.stopOf,
      finalDecision: isConfirmed ? (decision) => decision : (decision) => suspend(decision, stops),
    };
  }

  #endDatabase(newestGood: NewestGood | undefined): void {
    this.#mass.endDatabase();
    if (newestGood) this.#newestGood.push(newestGood);
    if (this.#hash) this.#hashes.push(this.#hash.digest("hex"));
    this.#hash = undefined;
  }

  #addFutureDated({ id, server, database, startedAt }: RetainedBackup): void {
    this.#futureDated.push({ backupId: id, server, database, startedAt });
    if (this.#futureDated.length < 2 * FUTURE_DATED_MAX) return;
    this.#futureDated.splice(0, this.#futureDated.length, ...this.#newestDated());
  }

  #newestDated(): FutureDated[] {
    return this.#futureDated
      .toSorted((a, b) => newestFirst({ ...a, id: a.backupId }, { ...b, id: b.backupId }))
      .slice(0, FUTURE_DATED_MAX);
  }
}

function suspend(decision: RetentionDecision, { stopOf }: Stops): RetentionDecision {
  const stop = decision.action === "expire" ? stopOf(decision) : undefined;
  if (stop === undefined) return decision;
  decision.action = "keep";
  decision.isSuspended = true;
  decision.reliesOn = [];
  decision.reason += `, but it waits for a confirmation: ${stop.reason}`;
  return decision;
}

function hashOf(databases: readonly string[], suspended: readonly Suspension[]): string {
  const hash = createHash("sha256");
  for (const { kind, storage, server, database } of suspended)
    hash.update(`${JSON.stringify([kind, storage, server, database])}\n`);
  for (const database of databases.toSorted()) hash.update(`${database}\n`);
  return hash.digest("hex").slice(0, HASH_DIGITS);
}
