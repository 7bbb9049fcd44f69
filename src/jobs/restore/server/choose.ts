import { Pg321Error } from "../../../base/errors.ts";
import { believedUntil } from "../../../base/newest-good.ts";
import { isGlobalsPlace } from "../../../catalog/globals.ts";
import type { BackupRecord } from "../../../catalog/records.ts";
import type { JobContext } from "../../context.ts";
import { requireServer } from "../../copies/find-database.ts";

export interface ChosenBackups {
  /** The newest good backup of each database at that moment, by name. */
  backups: BackupRecord[];
  /** Databases that were gone by then, or had no good backup yet. */
  left_out: { database: string; reason: string }[];
}

/** Backups of a database that are searched for a good one at a time. */
const SEARCHED = 20;

/**
 * The databases that a server had at a moment (now if undefined), as far as they were backed up. Throws code `usage` if
 * there are none.
 */
export async function backupsAt(
  context: JobContext,
  server: string,
  at: Date | undefined,
): Promise<ChosenBackups> {
  await requireServer(context, server);
  const { catalog, clock } = context;
  const until = (at ?? believedUntil(clock.now())).toISOString();
  const seen = (await catalog.overview.databases()).filter((one) => one.server === server);
  const names = (await catalog.overview.latestBackups(clock.now()))
    .filter((one) => one.server === server && !isGlobalsPlace(one))
    .map(({ database }) => database);
  const chosen: ChosenBackups = { backups: [], left_out: [] };
  for (const database of names) {
    const gone = seen.find((one) => one.database === database)?.gone_at ?? null;
    if (gone !== null && gone <= until) {
      chosen.left_out.push({ database, reason: `it was no longer on the server since ${gone}` });
      continue;
    }
    const good = await goodBackupBy(context, { server, database }, until);
    if (good) chosen.backups.push(good);
    else chosen.left_out.push({ database, reason: "it had no good backup yet" });
  }
  if (chosen.backups.length > 0) return chosen;
  const when = at === undefined ? "" : ` that began by ${until}`;
  throw new Pg321Error("usage", `restore: server "${server}" has no good backup${when}`, {
    hint: `see what there is with: pg321 list --server ${server}`,
  });
}

async function goodBackupBy(
  { catalog }: JobContext,
  place: { server: string; database: string },
  startedBy: string,
): Promise<BackupRecord | undefined> {
  const filter = { ...place, status: ["VERIFIED", "PARTIAL"] as const, startedBy, limit: SEARCHED };
  for (let offset = 0; ; offset += SEARCHED) {
    const found = await catalog.backups({ ...filter, offset });
    for (const backup of found) {
      if (backup.unreadable !== null || backup.kind !== "dump") continue;
      if ((await catalog.copies(backup.id)).some(({ state }) => state === "CONFIRMED")) return backup;
    }
    if (found.length < SEARCHED) return undefined;
  }
}
