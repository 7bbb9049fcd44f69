import type { PlanOutline, RetentionDecision } from "../../retention/plan.ts";
import { shortId } from "../copies/object-key.ts";

/** The copies of one backup that a cleanup removes or watches. */
export interface ExpiringBackup {
  backupId: string;
  server: string;
  database: string;
  copies: readonly ExpiringCopy[];
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
  storage: string;
  until: Date;
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

/** The most decisions that a report lists; further ones are only counted. */
const LISTED_MAX = 1000;
const HELD_NAMED_MAX = 20;
const GUARDS: readonly unknown[] = ["newest-good", "stale", "shrunk"];

/**
 * Collects a plan's decisions in little memory: the minimum for each copy that is to go, a limited number of decisions
 * for the report, and nothing about copies that simply stay.
 */
export class ExpiringCopies {
  readonly #backups: ExpiringBackup[] = [];
  /** The locks to put on or to extend. */
  readonly locks: LockRenewal[] = [];
  #stopOf: PlanOutline["stopOf"] = () => undefined;
  #listed: RetentionDecision[] = [];
  /** Nearly all backups leave the same storages, so hundreds of thousands share the same list. */
  readonly #shared = new Map<string, readonly ExpiringCopy[]>();
  readonly #guarded = new Map<string, GuardedDatabase>();

  /** Adds the next decision; the decisions of one backup must follow each other. */
  add(decision: RetentionDecision): void {
    const { action, guard, isLeftToProvider, lockUntil: until } = decision;
    if (until) this.locks.push({ backupId: decision.backupId, storage: decision.storage, until });
    if (action === "expire" || isLeftToProvider) this.#addCopy(decision);
    else if (guard === undefined) return;
    if (this.#listed.length < LISTED_MAX) this.#listed.push(decision);
    if (GUARDS.includes(guard)) this.#addGuarded(decision);
  }

  /** Must be called once every decision has been added. */
  complete(outline: PlanOutline): void {
    this.#listed = this.#listed.map(outline.finalDecision);
    this.#stopOf = outline.stopOf;
  }

  /** The backups with copies to remove or watch, without the copies that a stop keeps. */
  *backups(): Generator<ExpiringBackup> {
    for (const backup of this.#backups) {
      const copies = backup.copies.filter(
        ({ storage, isLeftToProvider }) =>
          isLeftToProvider || this.#stopOf({ ...backup, storage }) === undefined,
      );
      if (copies.length > 0) yield { ...backup, copies };
    }
  }

  /** The first decisions on copies that go, wait, or are kept by a guard. */
  get listed(): readonly RetentionDecision[] {
    return this.#listed;
  }

  get guarded(): readonly GuardedDatabase[] {
    return [...this.#guarded.values()];
  }

  #addCopy({ backupId, server, database, storage, reliesOn, isLeftToProvider }: RetentionDecision): void {
    let backup = this.#backups.at(-1);
    if (backup?.backupId !== backupId) {
      backup = { backupId, server, database, copies: [] };
      this.#backups.push(backup);
    }
    const copy = { storage, reliesOn, isLeftToProvider: isLeftToProvider === true };
    backup.copies = this.#share([...backup.copies, copy]);
  }

  #share(copies: readonly ExpiringCopy[]): readonly ExpiringCopy[] {
    if (copies.some(({ reliesOn }) => reliesOn.length > 0)) return copies;
    const key = copies
      .map(({ storage, isLeftToProvider }) => `${storage}${isLeftToProvider ? " watched" : ""}`)
      .join("\n");
    const known = this.#shared.get(key);
    if (known === undefined) this.#shared.set(key, copies);
    return known ?? copies;
  }

  #addGuarded({ backupId, server, database, storage, reason }: RetentionDecision): void {
    const key = `${server}\0${database}`;
    const known = this.#guarded.get(key) ?? { server, database, reason, copies: 0, held: [] };
    known.copies++;
    if (known.held.length < HELD_NAMED_MAX) known.held.push(`${shortId(backupId)} in ${storage}`);
    this.#guarded.set(key, known);
  }
}
