import { endGone } from "../../alerts/selection-alerts.ts";
import { messageOf, Pg321Error } from "../../base/errors.ts";
import { leaseName } from "../../catalog/database-lease.ts";
import { holdLease } from "../../catalog/lease.ts";
import type { BackupRecord, CopyRecord, TombstoneRecord } from "../../catalog/records.ts";
import type { JobContext } from "../context.ts";
import { settleStatus } from "../copies/backup-status.ts";
import { shortId } from "../copies/object-key.ts";
import { reconcile } from "../copies/reconcile.ts";
import { recognizeStorages } from "../markers/storage-identity.ts";
import { requireOwner } from "../owner.ts";
import { storageNamed } from "../storages.ts";
import { deleteCopy } from "./delete-copy.ts";
import { hasHold, holdText } from "./hold.ts";
import { removeRecord } from "./remove-records.ts";

export interface DeletionResult {
  backup_id: string;
  server: string;
  database: string;
  storage: string;
  object_bytes: number;
  /**
   * `gone`: it no longer existed; `hidden`: its versions stay and are still billed; `locked`: by Object Lock until a
   * time.
   */
  outcome: "deleted" | "gone" | "hidden" | "locked" | "failed";
  error: string | null;
}

export interface DeletionReport {
  results: DeletionResult[];
  records_deleted: number;
}

/**
 * Deletes backups with all of their copies at a person's request: no retention rule and no guard applies, but a hold
 * does (code `usage`). A record stays as long as any of its copies does. Throws code `locked` if a run works on one of
 * the databases.
 */
export async function deleteBackups(
  given: JobContext,
  backups: readonly BackupRecord[],
  removedBy: TombstoneRecord["removed_by"],
): Promise<DeletionReport> {
  requireOwner(removedBy, given.config);
  const context = await recognizeStorages(given, "cleanup");
  // Read them again: the person may have taken long to confirm.
  const known = await Promise.all(backups.map(({ id }) => context.catalog.backup(id)));
  const held = known.flatMap((one) => (one && hasHold(one, context.clock.now()) ? one : []));
  if (held.length > 0) {
    const ids = held.map((one) => `${shortId(one.id)} ${holdText(one)}`).join(", ");
    throw new Pg321Error("usage", `on hold: ${ids}`, { hint: "end the hold first with: pg321 unhold ID" });
  }
  await reconcile(context);
  const report: DeletionReport = { results: [], records_deleted: 0 };
  for (const [name, group] of Map.groupBy(backups, (one) => leaseName(one.server, one.database))) {
    const { catalog, clock, host, pid } = context;
    const request = { name, runId: crypto.randomUUID(), host, pid };
    await using lease = await holdLease(catalog, request, { clock, signal: context.signal });
    for (const backup of group)
      await deleteBackup({ ...context, signal: lease.signal }, backup, removedBy, report);
    const [first] = group;
    if (first) await endGone(context, first);
  }
  return report;
}

async function deleteBackup(
  context: JobContext,
  backup: BackupRecord,
  removedBy: TombstoneRecord["removed_by"],
  report: DeletionReport,
): Promise<void> {
  const { catalog } = context;
  for (const copy of await catalog.copies(backup.id)) {
    if (copy.state !== "FAILED" && copy.state !== "DELETED")
      report.results.push(await deleteOne(context, backup, copy));
  }
  const left = (await catalog.copies(backup.id)).filter(
    ({ state }) => state !== "FAILED" && state !== "DELETED",
  );
  if (left.length > 0) return settleStatus(context, backup);
  await removeRecord(context, backup, removedBy);
  report.records_deleted++;
}

async function deleteOne(
  context: JobContext,
  backup: BackupRecord,
  copy: CopyRecord,
): Promise<DeletionResult> {
  const { id: backup_id, server, database } = backup;
  const about = { backup_id, server, database, storage: copy.storage, object_bytes: copy.object_bytes ?? 0 };
  const storage = storageNamed(context, copy.storage);
  if (!storage)
    return { ...about, outcome: "failed", error: `storage "${copy.storage}" is no longer in the config` };
  try {
    const deletion = await deleteCopy(context, storage, copy, { why: "asked" }, context.signal);
    if (deletion.outcome !== "locked") return { ...about, outcome: deletion.outcome, error: null };
    const until = deletion.lockedUntil.toISOString();
    return { ...about, outcome: "locked", error: `locked until ${until}` };
  } catch (error) {
    context.signal.throwIfAborted();
    return { ...about, outcome: "failed", error: messageOf(error) };
  }
}
