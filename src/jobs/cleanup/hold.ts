import type { BackupRecord } from "../../catalog/records.ts";
import type { JobContext } from "../context.ts";

/** Whether a backup is on hold now, which keeps all of its copies. */
export function hasHold(
  { held_at, hold_until }: Pick<BackupRecord, "held_at" | "hold_until">,
  now: Date,
): boolean {
  return held_at !== null && (hold_until === null || Date.parse(hold_until) > now.getTime());
}

/** Protects every copy of a backup from retention and manual deletion, without end or until a time. */
export async function holdBackup(
  { catalog, clock }: Pick<JobContext, "catalog" | "clock">,
  { id }: BackupRecord,
  until: Date | undefined,
): Promise<void> {
  await catalog.updateBackup(id, {
    held_at: clock.now().toISOString(),
    hold_until: until?.toISOString() ?? null,
  });
}

/** Ends the hold. */
export async function releaseBackup(
  { catalog }: Pick<JobContext, "catalog">,
  { id }: BackupRecord,
): Promise<void> {
  await catalog.updateBackup(id, { held_at: null, hold_until: null });
}
