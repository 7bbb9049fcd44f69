import type { PlanOutline, RetentionDecision } from "../../retention/plan.ts";
import { shortId } from "../copies/object-key.ts";

/** The copies of one backup that a cleanup acts on. */
export interface GoingBackup {
  backupId: string;
  server: string;
  database: string;
  copies: readonly GoingCopy[];
}

export interface GoingCopy {
  storage: string;
  reliesOn: readonly string[];
  /** It is past its days where the provider is to remove it: it is only watched. */
  isLeftToProvider: boolean;
}

/** What guards keep of one database past its days. */
export interface GuardedDatabase {
  server: string;
  database: string;
  reason: string;
  copies: number;
  /** The first of them, as people name them. */
  held: string[];
}

/** Decisions, or copies, that are named one by one; more are only counted. */
const TOLD_MAX = 1000;
const HELD_NAMED_MAX = 20;
const GUARDS: readonly unknown[] = ["newest-good", "stale", "shrunk"];

/**
 * What a run keeps of the decisions that pass it: as little as it needs for the copies that go, some of those that
 * there is something to tell of, and nothing of those that just stay.
 */
export class GoingCopies {
  readonly #backups: GoingBackup[] = [];
  #stopOf: PlanOutline["stopOf"] = () => undefined;
  #told: RetentionDecision[] = [];
  /** Nearly all backups go from the same storages: hundreds of thousands share what is said of these. */
  readonly #shared = new Map<string, readonly GoingCopy[]>();
  readonly #guarded = new Map<string, GuardedDatabase>();

  /** Takes the next decision, of the same backup as the last one or of another. */
  add(decision: RetentionDecision): void {
    const { action, guard, isLeftToProvider } = decision;
    if (action === "expire" || isLeftToProvider) this.#addCopy(decision);
    else if (guard === undefined) return;
    if (this.#told.length < TOLD_MAX) this.#told.push(decision);
    if (GUARDS.includes(guard)) this.#addGuarded(decision);
  }

  /** Every decision is known. */
  complete(outline: PlanOutline): void {
    this.#told = this.#told.map(outline.finalDecision);
    this.#stopOf = outline.stopOf;
  }

  /** Those that go, without what a stop keeps. */
  *backups(): Generator<GoingBackup> {
    for (const backup of this.#backups) {
      const copies = backup.copies.filter(
        ({ storage, isLeftToProvider }) =>
          isLeftToProvider || this.#stopOf({ ...backup, storage }) === undefined,
      );
      if (copies.length > 0) yield { ...backup, copies };
    }
  }

  /** The first of those that go, wait, or are kept by a guard. */
  get told(): readonly RetentionDecision[] {
    return this.#told;
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

  #share(copies: readonly GoingCopy[]): readonly GoingCopy[] {
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
