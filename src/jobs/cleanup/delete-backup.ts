import { endGone } from "../../alerts/selection-alerts.ts";
import { messageOf, Pg321Error } from "../../base/errors.ts";
import { plural } from "../../base/text/amounts.ts";
import { timeText } from "../../base/text/zoned-time.ts";
import { leaseName } from "../../catalog/database-lease.ts";
import { underLease } from "../../catalog/fleet/fenced-catalog.ts";
import { holdLease } from "../../catalog/lease.ts";
import type { BackupRecord, CopyRecord, TombstoneRecord } from "../../catalog/records.ts";
import { requireReachable } from "../../catalog/spool/reachable.ts";
import type { JobContext } from "../context.ts";
import { settleStatus } from "../copies/backup-status.ts";
import { shortId } from "../copies/object-key.ts";
import { reconcile } from "../copies/reconcile.ts";
import { LongList } from "../long-list.ts";
import { recognizeStorages } from "../markers/storage-identity.ts";
import { requireOwner } from "../owner.ts";
import { ownershipOf } from "../ownership.ts";
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

/** Backups of one database: there may be very many. */
export interface DeletedBackups extends Pick<BackupRecord, "server" | "database"> {
  ids: AsyncIterable<string> | Iterable<string>;
}

/** Dispose of the results. */
export interface DeletionReport {
  results: LongList<DeletionResult>;
  records_deleted: number;
  /** Whether no copy is left. */
  isComplete: boolean;
}

/** The most backups on hold that an error names. */
const HELD_NAMED_MAX = 20;

/**
 * Deletes backups with all of their copies at a person's request: no retention rule and no guard applies, but a hold
 * does (code `usage`). A record stays as long as any of its copies does. Throws code `locked` if a run works on the
 * database.
 */
export async function deleteBackups(
  given: JobContext,
  { server, database, ids }: DeletedBackups,
  removedBy: TombstoneRecord["removed_by"],
): Promise<DeletionReport> {
  requireOwner(removedBy, given.config);
  requireReachable(given.catalog, removedBy);
  const context = await recognizeStorages(given, "cleanup");
  await refuseHeld(context, ids);
  await reconcile(context);
  await using opened = new AsyncDisposableStack();
  const results = opened.use(new LongList<DeletionResult>(context));
  const report: DeletionReport = { results, records_deleted: 0, isComplete: true };
  const { catalog, clock, host, pid } = context;
  const request = { name: leaseName(server, database), runId: crypto.randomUUID(), host, pid };
  await using lease = await holdLease(catalog, request, { clock, signal: context.signal });
  for await (const id of ids) await deleteBackup(underLease(context, lease), id, removedBy, report);
  await endGone(context, { server, database });
  opened.move();
  return report;
}

/** Reads them again: the person may have taken long to confirm. */
async function refuseHeld({ catalog, clock }: JobContext, ids: DeletedBackups["ids"]): Promise<void> {
  const held: string[] = [];
  let more = 0;
  for await (const id of ids) {
    const one = await catalog.backup(id);
    if (!one || !hasHold(one, clock.now())) continue;
    if (held.length < HELD_NAMED_MAX) held.push(`${shortId(id)} ${holdText(one)}`);
    else more++;
  }
  if (held.length === 0) return;
  const others = more === 0 ? "" : ` and ${plural(more, "more backup")}`;
  throw new Pg321Error("usage", `on hold: ${held.join(", ")}${others}`, {
    hint: "end the hold first with: pg321 unhold ID",
  });
}

async function deleteBackup(
  context: JobContext,
  id: string,
  removedBy: TombstoneRecord["removed_by"],
  report: DeletionReport,
): Promise<void> {
  const { catalog } = context;
  const backup = await catalog.backup(id);
  if (!backup)
    throw new Pg321Error("storage", `backup ${shortId(id)} was removed by another run in the meantime`, {
      hint: "run the command again for the others",
    });
  // There may be very many backups, and a hold may be placed while the others are deleted.
  const held = hasHold(backup, context.clock.now()) ? `on hold ${holdText(backup)}` : undefined;
  if (held !== undefined) report.isComplete = false;
  for (const copy of await catalog.copies(backup.id)) {
    if (copy.state === "FAILED" || copy.state === "DELETED") continue;
    const result =
      held === undefined ? await deleteOne(context, backup, copy) : failed(aboutCopy(backup, copy), held);
    report.isComplete &&= result.outcome === "deleted" || result.outcome === "gone";
    await report.results.push(result);
  }
  if (held !== undefined) return;
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
  const about = aboutCopy(backup, copy);
  const storage = storageNamed(context, copy.storage);
  if (!storage) {
    const [host] = (await ownershipOf(context)).hostsWithStorage(copy.storage);
    const why = host === undefined ? "no longer in the config" : `only in the config of host "${host}"`;
    return failed(about, `storage "${copy.storage}" is ${why}`);
  }
  try {
    const deletion = await deleteCopy(context, storage, copy, { why: "asked" }, context.signal);
    if (deletion.outcome !== "locked") return { ...about, outcome: deletion.outcome, error: null };
    return { ...about, outcome: "locked", error: `locked until ${timeText(deletion.lockedUntil)}` };
  } catch (error) {
    context.signal.throwIfAborted();
    return failed(about, messageOf(error));
  }
}

type AboutCopy = Omit<DeletionResult, "outcome" | "error">;

function aboutCopy({ id: backup_id, server, database }: BackupRecord, copy: CopyRecord): AboutCopy {
  return { backup_id, server, database, storage: copy.storage, object_bytes: copy.object_bytes ?? 0 };
}

function failed(about: AboutCopy, error: string): DeletionResult {
  return { ...about, outcome: "failed", error };
}
