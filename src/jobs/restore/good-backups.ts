import type { BackupFilter } from "../../catalog/catalog.ts";
import type { BackupKind, BackupRecord } from "../../catalog/records.ts";
import type { JobContext } from "../context.ts";

/** Backups that are read at a time: their records have manifests. */
const PAGE = 20;

type Filter = Required<Pick<BackupFilter, "server" | "database">> &
  Pick<BackupFilter, "run_id" | "startedBy" | "startedAfter">;

/** The good backups of a kind that have a confirmed copy and were not found to be unreadable, newest first. */
export async function* goodBackups(
  { catalog }: Pick<JobContext, "catalog">,
  kind: BackupKind,
  filter: Filter,
): AsyncGenerator<BackupRecord, undefined> {
  const good = { status: ["VERIFIED", "PARTIAL"], copy: { states: ["CONFIRMED"] } } as const;
  for (let offset = 0; ; offset += PAGE) {
    const found = await catalog.backups({ ...filter, ...good, limit: PAGE, offset });
    for (const backup of found) if (backup.unreadable === null && backup.kind === kind) yield backup;
    if (found.length < PAGE) return undefined;
  }
}

export async function newestGood(
  context: Pick<JobContext, "catalog">,
  kind: BackupKind,
  filter: Filter,
): Promise<BackupRecord | undefined> {
  for await (const backup of goodBackups(context, kind, filter)) return backup;
  return undefined;
}
