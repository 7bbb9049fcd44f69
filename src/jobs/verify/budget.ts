import type { JobContext } from "../context.ts";
import { LOOKED_FOR } from "../copies/damage.ts";
import type { CopyVerdict } from "./report.ts";

/** The most that one verification reads. */
export interface VerifyLimit {
  copies?: number | undefined;
  /** Bytes of the stored objects. */
  bytes?: number | undefined;
}

/** The id of a backup, for all its copies; or one copy. */
export type ChosenCopies = string | { id: string; storage: string };

/** Counts what a verification has read. A storage that does not answer uses nothing up, and is left for the next run. */
export class Budget {
  readonly #limit: VerifyLimit | undefined;
  readonly #silent = new Set<string>();
  #copies = 0;
  #bytes = 0;
  #isSpent = false;

  constructor(limit: VerifyLimit | undefined) {
    this.#limit = limit;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Whether the run ends now. */
  get isSpent(): boolean {
    return this.#isSpent;
  }

  skips(storage: string): boolean {
    return this.#limit !== undefined && this.#silent.has(storage);
  }

  /**
   * Whether the next copy still fits. If not, the run ends, even if a later and smaller one would fit: a large copy comes
   * first in the next run, and a run may always read one.
   */
  allows({ object_bytes }: { object_bytes: number | null }): boolean {
    const { copies = Number.POSITIVE_INFINITY, bytes = Number.POSITIVE_INFINITY } = this.#limit ?? {};
    const fits = this.#copies < copies && this.#bytes + (object_bytes ?? 0) <= bytes;
    this.#isSpent = !fits && this.#copies > 0;
    return !this.#isSpent;
  }

  spend(verdict: CopyVerdict): CopyVerdict {
    if (verdict.verdict === "unreachable") this.#silent.add(verdict.storage);
    else {
      this.#copies++;
      this.#bytes += verdict.object_bytes;
    }
    return verdict;
  }
}

/**
 * The copies for a verification with a limit. First those of the newest good backup of each database that were never read
 * back, or are not good; then all other confirmed copies: never read back first, by the age of their backup, then the
 * longest not read. So a large store is read over time, whatever the limit.
 */
export async function* byUrgency(
  { catalog, clock }: Pick<JobContext, "catalog" | "clock">,
  selects: (server: string, database: string) => boolean,
  only?: string,
): AsyncGenerator<ChosenCopies> {
  const begun = clock.now();
  const done = new Set<string>();
  for (const { good, server, database } of await catalog.overview.latestBackups(begun)) {
    if (good === null || !selects(server, database)) continue;
    for (const { storage, state, verified_at } of await catalog.copies(good.id)) {
      const isUrgent = LOOKED_FOR.includes(state) && (state !== "CONFIRMED" || verified_at === null);
      if (!isUrgent || (only !== undefined && only !== storage)) continue;
      done.add(`${good.id} ${storage}`);
      yield { id: good.id, storage };
    }
  }
  for await (const page of catalog.verification.queue(begun.toISOString()))
    for (const { backup_id: id, storage, server, database } of page)
      if (selects(server, database) && (only ?? storage) === storage && !done.has(`${id} ${storage}`))
        yield { id, storage };
}
