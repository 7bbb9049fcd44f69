import type { Guard, RetainedBackup, RetentionInput } from "./facts.ts";
import { spanText } from "./spans.ts";

/** A guard of a backup's last confirmed copy. `reason` follows "the last confirmed copy …". */
export interface BackupGuard {
  guard: Exclude<Guard, "held" | "locked">;
  reason: string;
}

/**
 * The guards of one database. `good` are its good backups with a confirmed copy in a configured storage,
 * newest first; `ours` are those of them of which a copy is where pg321 itself removes what is too old, and
 * so can hold it.
 */
export function guardsOf(
  good: readonly RetainedBackup[],
  ours: readonly RetainedBackup[],
  { now, guard }: Pick<RetentionInput, "now" | "guard">,
): Map<RetainedBackup, BackupGuard> {
  const guards = new Map<RetainedBackup, BackupGuard>();
  const [newest] = good;
  const [newestOurs] = ours;
  if (newest === undefined || newestOurs === undefined) return guards;
  const name = `${newest.server}/${newest.database}`;
  for (const backup of ours.filter(({ shrinkSuspect }) => shrinkSuspect)) {
    const reason = `of a good backup from before the dumps of ${name} shrank suddenly`;
    guards.set(backup, { guard: "shrunk", reason });
  }
  const silentMs = now.getTime() - newest.startedAt.getTime();
  if (silentMs > guard.staleAfterMs(newest.server, newest.database)) {
    const reason = `of one of the newest ${guard.keep} good backups of ${name}, which has had no new one for ${spanText(silentMs)}`;
    for (const backup of ours.slice(0, guard.keep)) guards.set(backup, { guard: "stale", reason });
  }
  const elsewhere = newest === newestOurs ? "" : " that no provider removes";
  guards.set(newestOurs, {
    guard: "newest-good",
    reason: `of the newest good backup of ${name}${elsewhere}`,
  });
  return guards;
}

/** A hold by hand keeps every copy, the last one or not: whoever held the backup meant all of it. */
export function isHeldByHand({ isHeld, heldUntil }: RetainedBackup, now: Date): boolean {
  return isHeld && (heldUntil === undefined || heldUntil > now);
}
