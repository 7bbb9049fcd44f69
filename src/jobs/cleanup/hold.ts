import { timeText } from "../../base/text/zoned-time.ts";
import type { BackupRecord } from "../../catalog/records.ts";
import type { JobContext } from "../context.ts";

/** Whether a backup is on hold now, which keeps all of its copies. */
export function hasHold(
  { held_at, hold_until }: Pick<BackupRecord, "held_at" | "hold_until">,
  now: Date,
): boolean {
  return held_at !== null && (hold_until === null || Date.parse(hold_until) > now.getTime());
}

/** Until when and why a backup is held, for a person: `until 2027-01-31 00:00:00 UTC (audit)`. */
export function holdText({
  hold_until,
  hold_reason,
}: Pick<BackupRecord, "hold_until" | "hold_reason">): string {
  const end = hold_until === null ? "until pg321 unhold" : `until ${timeText(hold_until)}`;
  return hold_reason === null ? end : `${end} (${hold_reason})`;
}

/** Protects every copy of a backup from retention and manual deletion, without end or until a time. */
export async function holdBackup(
  { catalog, clock }: Pick<JobContext, "catalog" | "clock">,
  { id }: BackupRecord,
  { until, reason }: { until: Date | undefined; reason: string | undefined },
): Promise<Pick<BackupRecord, "held_at" | "hold_until" | "hold_reason">> {
  const hold = {
    held_at: clock.now().toISOString(),
    hold_until: until?.toISOString() ?? null,
    hold_reason: reason ?? null,
  };
  await catalog.updateBackup(id, hold);
  return hold;
}

/** Ends the hold. */
export async function releaseBackup(
  { catalog }: Pick<JobContext, "catalog">,
  { id }: BackupRecord,
): Promise<void> {
  await catalog.updateBackup(id, { held_at: null, hold_until: null, hold_reason: null });
}
