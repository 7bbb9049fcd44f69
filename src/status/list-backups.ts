import { believedUntil } from "../base/newest-good.ts";
import type { BackupFilter } from "../catalog/catalog.ts";
import { settledBackup } from "../catalog/database-lease.ts";
import type { BackupRecord, CopyRecord } from "../catalog/records.ts";
import type { JobContext } from "../jobs/context.ts";
import { withLockInForce } from "../storage/immutability.ts";

export interface ListedBackup {
  backup: BackupRecord;
  copies: CopyRecord[];
  /** The host that makes the backup, while it is RUNNING. */
  running_on: string | null;
  /** Whether a person has started it, while it is RUNNING. */
  is_by_hand: boolean;
}

/** Backups whose copies are read by one query. */
const BACKUPS_AT_ONCE = 500;

type ListContext = Pick<JobContext, "catalog" | "clock" | "config" | "host">;

/**
 * Backups with their copies, newest first; backups dated ahead of the clock come last. A backup whose run has died is
 * shown as INTERRUPTED, even if its record still says RUNNING.
 */
export async function listBackups(context: ListContext, filter: BackupFilter): Promise<ListedBackup[]> {
  const backups = await newestFirst(context, filter);
  const found: ListedBackup[] = [];
  // One query for many backups: a catalog in PostgreSQL answers each after a way through the network.
  for (let start = 0; start < backups.length; start += BACKUPS_AT_ONCE) {
    const some = backups.slice(start, start + BACKUPS_AT_ONCE);
    const copies = await context.catalog.copiesOf(some.map(({ id }) => id));
    const of = Map.groupBy(copies, ({ backup_id }) => backup_id);
    for (const backup of some) found.push(await listedWith(context, backup, of.get(backup.id) ?? []));
  }
  return found;
}

/** Follows `base/newest-good.ts`: a script that takes the first backup must not get one dated ahead of the clock. */
async function newestFirst(
  { catalog, clock }: ListContext,
  { limit, offset = 0, ...filter }: BackupFilter,
): Promise<BackupRecord[]> {
  const until = believedUntil(clock.now()).toISOString();
  const { startedBy = until } = filter;
  const believed = { ...filter, startedBy: startedBy < until ? startedBy : until };
  const found = await catalog.backups({ ...believed, offset, ...(limit !== undefined && { limit }) });
  const left = limit === undefined ? undefined : limit - found.length;
  if (left === 0) return found;
  const before =
    found.length > 0 || offset === 0 ? offset + found.length : await catalog.countBackups(believed);
  const skipped = Math.max(0, offset - before);
  const ahead = { startedAfter: until, offset: skipped, ...(left !== undefined && { limit: left }) };
  return [...found, ...(await catalog.backups({ ...filter, ...ahead }))];
}

export async function listed(context: ListContext, backup: BackupRecord): Promise<ListedBackup> {
  return listedWith(context, backup, await context.catalog.copies(backup.id));
}

async function listedWith(
  context: ListContext,
  backup: BackupRecord,
  recorded: readonly CopyRecord[],
): Promise<ListedBackup> {
  const copies = recorded.map((copy) => {
    const settings = context.config.storage.find(({ name }) => name === copy.storage);
    return settings ? withLockInForce(settings, copy) : copy;
  });
  if (backup.status !== "RUNNING") return { backup, copies, running_on: null, is_by_hand: false };
  const now = await settledBackup(context, backup);
  // It may have ended only now, and its copies with it.
  if (now.status !== "RUNNING") return listed(context, now);
  const [run] = (await context.catalog.runs({ outcome: "RUNNING" })).filter(({ id }) => id === backup.run_id);
  return { backup, copies, running_on: run?.host ?? null, is_by_hand: run?.schedule === null };
}
