import { LISTED_MAX } from "../../base/limits.ts";
import type { PlanOutline, RetentionDecision } from "../../retention/plan.ts";
import { shortId } from "../copies/object-key.ts";
import { LongList } from "../long-list.ts";

/** The copies of one backup that a cleanup removes or watches. */
export interface ExpiringBackup {
  backupId: string;
  server: string;
  database: string;
  copies: ExpiringCopy[];
}

export interface ExpiringCopy {
  storage: string;
  reliesOn: readonly string[];
  /** It has expired in a storage where the provider removes copies: it is only watched. */
  isLeftToProvider: boolean;
}

/** A copy that stays, and whose lock would end before the next cleanup. */
export interface LockRenewal {
  backupId: string;
  /** RFC 3339. */
  until: string;
}

/** The expired copies of one database that guards keep. */
export interface GuardedDatabase {
  server: string;
  database: string;
  reason: string;
  copies: number;
  /** The first of them, by short id and storage. */
  held: string[];
}

const HELD_NAMED_MAX = 20;
const GUARDS: readonly unknown[] = ["newest-good", "stale", "shrunk"];

type ListContext = ConstructorParameters<typeof LongList>[0];

/**
 * Collects a plan's decisions in little memory: in lists that go to a temporary file what is to be done with each copy that
 * does not simply stay, and a limited number of decisions for the report. So a run removes exactly what its plan counted,
 * whatever changes meanwhile.
 */
export class ExpiringCopies implements AsyncDisposable {
  readonly #context: ListContext;
  readonly #backups: LongList<ExpiringBackup>;
  /** The locks to put on or to extend, by storage. */
  readonly locks = new Map<string, LongList<LockRenewal>>();
  #stopOf: PlanOutline["stopOf"] = () => undefined;
  #listed: RetentionDecision[] = [];
  readonly #guarded = new Map<string, GuardedDatabase>();

  constructor(context: ListContext) {
    this.#context = context;
    this.#backups = new LongList(context);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const list of [this.#backups, ...this.locks.values()]) await list[Symbol.asyncDispose]();
  }

  /** Adds the next decisions: all of one backup at once. */
  async add(decisions: readonly RetentionDecision[]): Promise<void> {
    for (const [backupId, ofBackup] of Map.groupBy(decisions, (one) => one.backupId)) {
      const going = ofBackup.filter(
        ({ action, isLeftToProvider }) => action === "expire" || isLeftToProvider,
      );
      const [first] = going;
      if (first) {
        const { server, database } = first;
        await this.#backups.push({ backupId, server, database, copies: going.map(copyOf) });
      }
      for (const decision of ofBackup) await this.#note(decision);
    }
  }

  async #note(decision: RetentionDecision): Promise<void> {
    const { backupId, storage, action, guard, isLeftToProvider, lockUntil } = decision;
    if (lockUntil) await this.#locksIn(storage).push({ backupId, until: lockUntil.toISOString() });
    if (action !== "expire" && !isLeftToProvider && guard === undefined) return;
    if (this.#listed.length < LISTED_MAX) this.#listed.push(decision);
    if (GUARDS.includes(guard)) this.#addGuarded(decision);
  }

  #locksIn(storage: string): LongList<LockRenewal> {
    const list = this.locks.get(storage) ?? new LongList<LockRenewal>(this.#context);
    this.locks.set(storage, list);
    return list;
  }

  /** Must be called once every decision has been added. */
  complete(outline: PlanOutline): void {
    this.#listed = this.#listed.map(outline.finalDecision);
    this.#stopOf = outline.stopOf;
  }

  /** The backups with copies to remove or watch, without the copies that a stop keeps. */
  async *backups(): AsyncGenerator<ExpiringBackup> {
    for await (const backup of this.#backups) {
      const copies = backup.copies.filter(
        ({ storage, isLeftToProvider }) =>
          isLeftToProvider || this.#stopOf({ ...backup, storage }) === undefined,
      );
      if (copies.length > 0) yield { ...backup, copies };
    }
  }

  /** The number of copies and locks in memory. */
  get inMemory(): number {
    return [this.#backups, ...this.locks.values()].reduce((sum, list) => sum + list.inMemory, 0);
  }

  /** The first decisions on copies that go, wait, or are kept by a guard. */
  get listed(): readonly RetentionDecision[] {
    return this.#listed;
  }

  get guarded(): readonly GuardedDatabase[] {
    return [...this.#guarded.values()];
  }

  #addGuarded({ backupId, server, database, storage, reason }: RetentionDecision): void {
    const key = `${server}\0${database}`;
    const known = this.#guarded.get(key) ?? { server, database, reason, copies: 0, held: [] };
    known.copies++;
    if (known.held.length < HELD_NAMED_MAX) known.held.push(`${shortId(backupId)} in ${storage}`);
    this.#guarded.set(key, known);
  }
}

function copyOf({ storage, reliesOn, isLeftToProvider }: RetentionDecision): ExpiringCopy {
  return { storage, reliesOn, isLeftToProvider: isLeftToProvider === true };
}
