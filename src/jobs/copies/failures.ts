import { messageOf, Pg321Error } from "../../base/errors.ts";
import type { BackupRecord } from "../../catalog/records.ts";
import type { Storage } from "../../storage/storage.ts";

/** The last reason why each copy could not be used. */
export class CopyFailures {
  readonly #backup: BackupRecord;
  readonly #failures = new Map<Storage, unknown>();
  readonly #own = new Map<Storage, unknown>();

  constructor(backup: BackupRecord) {
    this.#backup = backup;
  }

  /** `isOwn`: the copy itself caused the error, not the header of another copy that it was read with. */
  add(storage: Storage, error: unknown, isOwn = true): void {
    this.#failures.set(storage, error);
    if (isOwn) this.#own.set(storage, error);
  }

  /** The copies that caused their errors themselves. */
  get own(): ReadonlyMap<Storage, unknown> {
    return this.#own;
  }

  /**
   * One error for all copies, with the most telling code: a wrong key before damage, and damage before a storage
   * failure.
   */
  error(): Pg321Error {
    const failures = [...this.#failures];
    const id = this.#backup.id.slice(0, 8);
    const name = `backup ${id} of ${this.#backup.server}/${this.#backup.database}`;
    if (failures.length === 0)
      return new Pg321Error("storage", `${name}: no copy to read`, {
        hint: `see its copies with: pg321 show ${id}`,
      });
    const known = failures.map(([, error]) => error).filter((error) => error instanceof Pg321Error);
    const mostTelling = ["key", "verification", "storage"]
      .map((code) => known.find((error) => error.code === code))
      .find(Boolean);
    const list = failures.map(([storage, error]) => `${storage.name}: ${messageOf(error)}`).join("; ");
    return new Pg321Error(mostTelling?.code ?? "storage", `${name}: no copy can be read: ${list}`, {
      ...(mostTelling?.hint !== undefined && { hint: mostTelling.hint }),
      cause: failures[0]?.[1],
    });
  }
}
