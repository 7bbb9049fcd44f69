import type { Guard, RetainedBackup, RetentionRules } from "./facts.ts";
import { spanText } from "./spans.ts";

/** A guard of a backup's last confirmed copy. `reason` follows "the last confirmed copy …". */
export interface BackupGuard {
  guard: Exclude<Guard, "held" | "locked">;
  reason: string;
}

/**
 * The guards of one database. They get, newest first, its good backups with a confirmed copy in a configured
 * storage.
 */
export class Guards {
  readonly #rules: Pick<RetentionRules, "now" | "guard">;
  #newest: RetainedBackup | undefined;
  /** Number of backups with a copy where pg321 itself deletes old ones, and so can keep it. */
  #ours = 0;

  constructor(rules: Pick<RetentionRules, "now" | "guard">) {
    this.#rules = rules;
  }

  /** Counts the next backup. Returns its guard, if it has one. `isOurs`: as above. */
  count(backup: RetainedBackup, isOurs: boolean): BackupGuard | undefined {
    const { now, guard } = this.#rules;
    this.#newest ??= backup;
    if (!isOurs) return undefined;
    this.#ours++;
    const { server, database, startedAt } = this.#newest;
    const name = `${server}/${database}`;
    if (this.#ours === 1) {
      const elsewhere = this.#newest === backup ? "" : " that no provider removes";
      return { guard: "newest-good", reason: `of the newest good backup of ${name}${elsewhere}` };
    }
    const silentMs = now.getTime() - startedAt.getTime();
    if (this.#ours <= guard.keep && silentMs > guard.staleAfterMs(server, database)) {
      const reason = `of one of the newest ${guard.keep} good backups of ${name}, which has had no new one for ${spanText(silentMs)}`;
      return { guard: "stale", reason };
    }
    if (!backup.shrinkSuspect) return undefined;
    return {
      guard: "shrunk",
      reason: `of a good backup from before the dumps of ${name} shrank suddenly`,
    };
  }
}

/** A person's hold keeps every copy, not only the last one: it is meant for the whole backup. */
export function isOnHold(
  { isHeld, heldUntil }: Pick<RetainedBackup, "isHeld" | "heldUntil">,
  now: Date,
): boolean {
  return isHeld && (heldUntil === undefined || heldUntil > now);
}
