import type { BackupRecord, BackupStatus, CopyRecord } from "../../catalog/records.ts";
import { REMOVED } from "../../catalog/records.ts";
import type { JobContext } from "../context.ts";

/** The status of a backup that no run works on any more, from the records of its copies. */
export function statusOf(all: readonly Pick<CopyRecord, "state">[]): BackupStatus {
  const copies = all.filter(({ state }) => !REMOVED.includes(state));
  const confirmed = copies.filter((copy) => copy.state === "CONFIRMED").length;
  if (confirmed === 0) return "INTERRUPTED";
  return confirmed === copies.length ? "VERIFIED" : "PARTIAL";
}

/** Updates the status of a backup to match its copies. */
export async function settleStatus(
  { catalog }: Pick<JobContext, "catalog">,
  { id }: Pick<BackupRecord, "id">,
): Promise<void> {
  const copies = (await catalog.copies(id)).filter(({ state }) => !REMOVED.includes(state));
  // A backup whose copies were all removed on purpose keeps its status.
  if (copies.length === 0) return;
  const status = statusOf(copies);
  if (status === "INTERRUPTED")
    await catalog.updateBackup(id, { status: "FAILED", error: "no undamaged copy is left" });
  else await catalog.updateBackup(id, { status, error: null });
}
