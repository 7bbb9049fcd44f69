import { inParallel } from "../../base/in-parallel.ts";
import { hooksFor } from "../../config/database/settings.ts";
import type { JobContext } from "../context.ts";
import { databaseContext } from "../database-context.ts";
import { BegunBackup } from "./begun-backup.ts";
import { type Target, targetKey } from "./targets.ts";

/**
 * The backups of databases with `pre_backup` hooks whose snapshots are taken together (`group = "consistent"`): the hooks
 * of all of them run before that moment. If one fails, only its own database is missing from the group.
 */
export class BegunAhead implements AsyncDisposable {
  readonly #begun = new Map<string, BegunBackup>();
  /** Why a backup could not begin, by its database. */
  readonly #failures = new Map<string, unknown>();

  /** The targets whose hooks must run before the snapshots. A group of one has its snapshot after its hooks anyway. */
  static of(context: JobContext, targets: readonly Target[]): Target[] {
    const grouped = targets.filter(
      ({ server, kind = "dump" }) => server.group === "consistent" && kind === "dump",
    );
    const groups = Map.groupBy(grouped, ({ server }) => server.name);
    return [...groups.values()]
      .filter(({ length }) => length > 1)
      .flat()
      .filter(({ server, database }) => hooksFor(context.config, server, database).pre_backup.length > 0);
  }

  /** Runs the hooks of the targets, `dump.max_parallel` at the same time. Throws only the signal's reason. */
  static async begin(context: JobContext, runId: string, targets: readonly Target[]): Promise<BegunAhead> {
    const ahead = new BegunAhead();
    await inParallel(targets, context.config.dump.max_parallel, async (target) => {
      if (context.signal.aborted) return;
      const { server, database } = target;
      const own = databaseContext(context, server.name, database);
      try {
        ahead.#begun.set(targetKey(target), await BegunBackup.begin(own, runId, server, { database }));
      } catch (error) {
        ahead.#failures.set(targetKey(target), error);
      }
    });
    if (!context.signal.aborted) return ahead;
    await ahead[Symbol.asyncDispose]();
    throw context.signal.reason;
  }

  hasFailed(target: Target): boolean {
    return this.#failures.has(targetKey(target));
  }

  /** The backup of a database, whose caller disposes of it; undefined the second time. Throws why it could not begin, once. */
  take(target: Target): BegunBackup | undefined {
    const key = targetKey(target);
    if (this.#failures.has(key)) {
      const failure = this.#failures.get(key);
      this.#failures.delete(key);
      throw failure;
    }
    const begun = this.#begun.get(key);
    this.#begun.delete(key);
    return begun;
  }

  /** All at once: after a stop, the hooks that undo things have little time. */
  async [Symbol.asyncDispose](): Promise<void> {
    const left = [...this.#begun.values()];
    this.#begun.clear();
    await Promise.allSettled(left.map((begun) => begun[Symbol.asyncDispose]()));
  }
}
