import { Pg321Error } from "../../../base/errors.ts";
import { believedUntil } from "../../../base/newest-good.ts";
import { timeText } from "../../../base/text/zoned-time.ts";
import { isGlobalsPlace } from "../../../catalog/globals.ts";
import type { DatabaseRecord } from "../../../catalog/overview.ts";
import type { BackupRecord } from "../../../catalog/records.ts";
import type { JobContext } from "../../context.ts";
import { requireServer } from "../../copies/find-database.ts";
import { newestGood } from "../good-backups.ts";

export interface ChosenBackups {
  /** The newest good backup of each database at that moment, by name. */
  backups: BackupRecord[];
  left_out: LeftOutDatabase[];
}

export interface LeftOutDatabase {
  database: string;
  /** It was no longer on the server; it was not there yet; or it was there, and is missing in the restore. */
  kind: "gone" | "later" | "no_backup";
  reason: string;
}

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
  const backedUp = (await catalog.overview.latestBackups(clock.now()))
    .filter((one) => one.server === server && !isGlobalsPlace(one))
    .map(({ database }) => database);
  const others = seen.map(({ database }) => database).filter((name) => !backedUp.includes(name));
  const chosen: ChosenBackups = { backups: [], left_out: [] };
  for (const database of [...backedUp, ...others]) {
    const record = seen.find((one) => one.database === database);
    const gone = record?.gone_at ?? null;
    if (gone !== null && gone <= until) {
      const reason = `it was no longer on the server since ${timeText(gone)}`;
      chosen.left_out.push({ database, kind: "gone", reason });
      continue;
    }
    const good = await newestGood(context, "dump", { server, database, startedBy: until });
    if (good) chosen.backups.push(good);
    else chosen.left_out.push(await withoutBackup(context, { server, database }, record, until));
  }
  if (chosen.backups.length > 0) return chosen;
  const when = at === undefined ? "" : ` that began by ${timeText(until)}`;
  throw new Pg321Error("usage", `restore: server "${server}" has no good backup${when}`, {
    hint: `see what there is with: pg321 list --server ${server}`,
  });
}

/** A database that has no good backup: perhaps it did not exist yet. */
async function withoutBackup(
  { catalog }: JobContext,
  place: { server: string; database: string },
  record: DatabaseRecord | undefined,
  until: string,
): Promise<LeftOutDatabase> {
  const { database } = place;
  const tried = await catalog.backups({ ...place, startedBy: until, limit: 1 });
  if (tried.length > 0 || (record !== undefined && record.first_seen_at <= until))
    return { database, kind: "no_backup", reason: "it had no good backup yet" };
  return { database, kind: "later", reason: "it was first seen later" };
}
