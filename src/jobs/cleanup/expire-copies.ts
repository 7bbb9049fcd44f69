import { messageOf, Pg321Error } from "../../base/errors.ts";
import { DAY_MS } from "../../base/limits.ts";
import { timeText } from "../../base/text/zoned-time.ts";
import { leaseName } from "../../catalog/database-lease.ts";
import { underLease } from "../../catalog/fleet/fenced-catalog.ts";
import { backupName } from "../../catalog/globals.ts";
import { holdLease, isAwaited } from "../../catalog/lease.ts";
import type { BackupRecord, CopyRecord } from "../../catalog/records.ts";
import { REMOVED } from "../../catalog/records.ts";
import type { StorageConfig } from "../../config/config.ts";
import type { NewestGood, PlanOutline } from "../../retention/plan.ts";
import type { Storage } from "../../storage/storage.ts";
import type { JobContext } from "../context.ts";
import { settleStatus } from "../copies/backup-status.ts";
import type { CopyChecks, Reliance } from "../copies/checks.ts";
import type { RemovalReason } from "../copies/removal.ts";
import { ownershipOf, ownPages } from "../ownership.ts";
import { storageNamed } from "../storages.ts";
import { archiveCopy } from "./archive-copy.ts";
import { deleteCopy } from "./delete-copy.ts";
import type { ExpiringBackup, ExpiringCopies, ExpiringCopy } from "./expiring-copies.ts";
import { hasHold } from "./hold.ts";
import type { CleanupTally } from "./report.ts";

/** After this many calls in a row without an answer, a storage is skipped for the rest of the run. */
export const SILENT_MAX = 3;
/** How late a provider's lifecycle rule may act: they run once a day, and some take days. */
const PROVIDER_GRACE_MS = 7 * DAY_MS;

export interface Expiry {
  context: JobContext;
  runId: string;
  going: ExpiringCopies;
  newestGood: ReadonlyMap<string, NewestGood>;
  tally: CleanupTally;
  looks: CopyChecks;
}

/** One copy to work on, under the lease of its database. */
interface Task {
  backupId: string;
  server: string;
  database: string;
  storage: Storage;
  /** Undefined if an earlier run began to remove it. */
  going: ExpiringCopy | undefined;
}

/** The newest good backup of each database, by lease name. */
export function byDatabase({ newestGood }: PlanOutline): Map<string, NewestGood> {
  return new Map(newestGood.map((one) => [leaseName(one.server, one.database), one]));
}

/**
 * Carries out a plan in the storages of one type, after finishing removals that earlier runs began there. A failure of
 * one copy does not stop the others; a database that another run works on is left for the next cleanup.
 */
export async function expireCopies(expiry: Expiry, type: StorageConfig["type"]): Promise<void> {
  const silent = new Map<Storage, number>();
  const isOfType = (task: Task) => task.storage.settings.type === type;
  // Release the lease after each backup, so that a dump of the database never waits long.
  for await (const group of begunTasks(expiry)) await expireTasks(expiry, group.filter(isOfType), silent);
  for await (const backup of expiry.going.backups())
    await expireTasks(expiry, plannedTasks(expiry, backup).filter(isOfType), silent);
}

/** The copies whose removal earlier runs began, backup by backup: there are very many if a key may only hide them. */
async function* begunTasks({ context }: Expiry): AsyncGenerator<Task[]> {
  let group: Task[] = [];
  const ownership = await ownershipOf(context);
  for await (const copies of ownPages(ownership, context.catalog.placedCopies(["DELETING", "HIDDEN"])))
    for (const { backup_id: backupId, server, database, storage: name } of copies) {
      const storage = storageNamed(context, name);
      if (!storage) continue;
      if (group.length > 0 && group[0]?.backupId !== backupId) {
        yield group;
        group = [];
      }
      group.push({ backupId, server, database, storage, going: undefined });
    }
  if (group.length > 0) yield group;
}

function plannedTasks({ context }: Expiry, { backupId, server, database, copies }: ExpiringBackup): Task[] {
  return copies.flatMap((going) => {
    const storage = storageNamed(context, going.storage);
    return storage ? { backupId, server, database, storage, going } : [];
  });
}

async function expireTasks(
  expiry: Expiry,
  tasks: readonly Task[],
  silent: Map<Storage, number>,
): Promise<void> {
  const { context, runId, tally } = expiry;
  const { catalog, clock, host, pid } = context;
  const [first] = tasks;
  if (!first) return;
  const name = leaseName(first.server, first.database);
  if (await isAwaited(catalog, name, await catalog.leaseTime(clock))) {
    const reason = `left for the next cleanup: a backup of ${name} is waiting`;
    for (const { storage, backupId } of tasks) hold(tally, storage, backupId, reason);
    return;
  }
  try {
    const request = { name, runId, host, pid };
    await using lease = await holdLease(catalog, request, { clock, signal: context.signal });
    const leased = { ...expiry, context: underLease(context, lease) };
    for (const task of tasks) await attempt(leased, task, silent);
  } catch (error) {
    if (!(error instanceof Pg321Error && error.code === "locked")) throw error;
    for (const { storage, backupId } of tasks) hold(tally, storage, backupId, messageOf(error));
  }
}

async function attempt(expiry: Expiry, task: Task, silent: Map<Storage, number>): Promise<void> {
  const { context, tally } = expiry;
  const { storage, going } = task;
  const backup = await context.catalog.backup(task.backupId);
  const copy = (await context.catalog.copies(task.backupId)).find((one) => one.storage === storage.name);
  if (!backup || !copy || (going && REMOVED.includes(copy.state))) return;
  try {
    if ((silent.get(storage) ?? 0) >= SILENT_MAX)
      throw new Pg321Error(
        "storage",
        `storage "${storage.name}": skipped: it did not answer ${SILENT_MAX} times in a row`,
      );
    if (!going) await endRemoval(expiry, storage, backup, copy);
    else if (going.isLeftToProvider) await watchProvider(expiry, storage, backup, copy);
    else await expireCopy(expiry, storage, backup, copy, going);
    silent.delete(storage);
  } catch (error) {
    context.signal.throwIfAborted();
    if (error instanceof Pg321Error && error.retryable) silent.set(storage, (silent.get(storage) ?? 0) + 1);
    tally.in(storage.name).failed++;
    tally.fail(storage.name, copy.object_key, messageOf(error));
    const fields = { storage: storage.name, backup_id: backup.id, error: messageOf(error) };
    context.log.error("a copy could not be removed", fields);
  }
  await settleStatus(context, backup);
}

/**
 * Finishes a removal that an earlier run began, unless that would now remove the last good backup: other copies may
 * have been lost since. A hold placed since then keeps what is left.
 */
async function endRemoval(
  expiry: Expiry,
  storage: Storage,
  backup: BackupRecord,
  copy: CopyRecord,
): Promise<void> {
  const { context, tally, looks } = expiry;
  if (hasHold(backup, context.clock.now()))
    return hold(
      tally,
      storage,
      copy.object_key,
      "its removal had begun, but the backup has been put on hold",
    );
  const newest = await context.catalog.newestGood(backup.server, backup.database, context.clock.now());
  const others = newest ? await context.catalog.copies(newest.id) : [];
  const confirmed = others.filter(({ state }) => state === "CONFIRMED");
  const relyingOn = await looks.rely([], {
    places: confirmed.map((other) => ({ backupId: other.backup_id, storage: other.storage })),
    otherwise: `its removal had begun, but no good backup of ${backupName(backup)} can be found now`,
  });
  if (typeof relyingOn === "string") return hold(tally, storage, copy.object_key, relyingOn);
  return removeCopy(expiry, storage, copy, { why: "expired", relyingOn });
}

async function expireCopy(
  expiry: Expiry,
  storage: Storage,
  backup: BackupRecord,
  copy: CopyRecord,
  going: ExpiringCopy,
): Promise<void> {
  const { context, tally } = expiry;
  const { signal } = context;
  const doubt = await reasonToDoubt(expiry, storage, backup, copy);
  const relyingOn = doubt ?? (await relianceFor(expiry, backup, going));
  if (typeof relyingOn === "string") return hold(tally, storage, copy.object_key, relyingOn);
  const reason: RemovalReason = { why: "expired", relyingOn };
  const { expire } = storage.settings;
  const archive = typeof expire === "object" ? storageNamed(context, expire.archive_to) : undefined;
  if (!archive || copy.state !== "CONFIRMED") return removeCopy(expiry, storage, copy, reason);
  await archiveCopy(context, backup, { from: storage, to: archive }, signal);
  await removeCopy(expiry, storage, copy, reason, archive);
}

/** The reason to keep a copy that is not recorded as good: it may be all that is left, or good after all. */
async function reasonToDoubt(
  { context }: Expiry,
  storage: Storage,
  { server, database }: BackupRecord,
  copy: CopyRecord,
): Promise<string | undefined> {
  const { catalog, clock, signal } = context;
  if (copy.state === "CONFIRMED") return undefined;
  const found = await storage.head(copy.object_key, signal);
  if (!found) return undefined;
  if (copy.state === "MISSING" && found.sizeBytes === copy.object_bytes)
    return "it was missing and is back: check it with pg321 verify ID";
  if (await catalog.newestGood(server, database, clock.now())) return undefined;
  return `there is no good backup of ${server}/${database}, and this may be all that is left`;
}

/** The proof that the plan still holds, or the reason to keep the copy for now. */
async function relianceFor(
  { context, newestGood, looks }: Expiry,
  backup: BackupRecord,
  { reliesOn }: ExpiringCopy,
): Promise<Reliance | string> {
  if (hasHold(backup, context.clock.now())) return "the backup is on hold";
  const remaining = reliesOn.map((storage) => ({ backupId: backup.id, storage }));
  const newest = newestGood.get(leaseName(backup.server, backup.database));
  if (!newest || newest.backupId === backup.id) return looks.rely(remaining);
  return looks.rely(remaining, {
    places: newest.storages.map((storage) => ({ backupId: newest.backupId, storage })),
    otherwise: `no copy of the newest good backup of ${backupName(backup)} can be found now`,
  });
}

async function removeCopy(
  { context, tally }: Expiry,
  storage: Storage,
  copy: CopyRecord,
  reason: RemovalReason,
  archive?: Storage,
): Promise<void> {
  const { log, signal } = context;
  const counts = tally.in(storage.name);
  const bytes = copy.object_bytes ?? 0;
  const deletion = await deleteCopy(context, storage, copy, reason, signal);
  const fields = { storage: storage.name, backup_id: copy.backup_id, object: copy.object_key, bytes };
  if (deletion.outcome === "locked")
    return hold(
      tally,
      storage,
      copy.object_key,
      `held until ${timeText(deletion.lockedUntil)}: it is locked`,
    );
  if (deletion.outcome === "hidden") {
    counts.hidden++;
    log.warning("a copy is only hidden and still billed: the key is not allowed to delete versions", fields);
    return tally.note(storage.name, copy.object_key, HIDDEN_NOTE);
  }
  if (deletion.outcome === "gone") tally.note(storage.name, copy.object_key, "it was gone already");
  else counts.bytes_freed += bytes;
  counts[archive ? "archived" : "deleted"]++;
  log.info(archive ? "a copy was archived" : "a copy was deleted", {
    ...fields,
    ...(archive && { to: archive.name }),
  });
}

const HIDDEN_NOTE =
  "only hidden and still billed: allow the key to list and delete versions (s3:ListBucketVersions, s3:DeleteObjectVersion), then run cleanup again";

/** Checks a copy that a provider's lifecycle rule should remove; it is reported only if that is long overdue. */
async function watchProvider(
  { context, tally }: Expiry,
  storage: Storage,
  backup: BackupRecord,
  copy: CopyRecord,
): Promise<void> {
  const { catalog, clock, signal } = context;
  if (!(await storage.head(copy.object_key, signal))) {
    await catalog.updateCopy(backup.id, storage.name, { state: "DELETED", error: null });
    tally.in(storage.name).deleted++;
    tally.note(storage.name, copy.object_key, "removed by the provider's lifecycle rule");
    return;
  }
  const dueMs = Date.parse(backup.started_at) + storage.settings.keep.days * DAY_MS;
  if (clock.now().getTime() > dueMs + PROVIDER_GRACE_MS) tally.in(storage.name).overdue++;
}

function hold(tally: CleanupTally, storage: Storage, key: string, reason: string): void {
  tally.in(storage.name).held++;
  tally.note(storage.name, key, reason);
}
