import type { Clock } from "../../base/clock.ts";
import { DAY_MS } from "../../base/limits.ts";
import type { BackupRecord, CopyRecord } from "../records.ts";
import { upsert } from "../sqlite/statements.ts";
import { BACKUPS, COPIES } from "../sqlite/tables.ts";
import type { DeliveryTools } from "./deliver.ts";

/** What a fail-over loses is seconds old; tombstones are kept for a day at least. */
const COMPARED_MS = DAY_MS;
const KNOWN = `SELECT id FROM backups WHERE id IN (SELECT value FROM json_each($ids))
  UNION SELECT backup_id FROM tombstones WHERE backup_id IN (SELECT value FROM json_each($ids))`;

/**
 * Records this host's backups of the last day again if the catalog has lost them, as after a fail-over to a standby that had
 * not received everything: neither a record nor a tombstone of them is there, and none waits in the journal. Call it before a
 * delivery, which may change them. Their copies get the state in which this host knows them.
 */
export async function restoreLost(tools: DeliveryTools & { clock: Clock }): Promise<void> {
  const { file, transactions, host, clock, log } = tools;
  const startedAfter = new Date(clock.now().getTime() - COMPARED_MS).toISOString();
  // Read before the catalog is: what is in the file was in the catalog, or waits.
  const own = await file.inTransaction("read what the catalog should have", async () => {
    const waiting = file.waitingBackups();
    const recent = await file.catalog.backups({ host, startedAfter });
    return new Map(recent.filter(({ id }) => !waiting.has(id)).map((backup) => [backup.id, backup]));
  });
  if (own.size === 0) return;
  const ids = JSON.stringify([...own.keys()]);
  const known = await transactions.do("look for lost backups", ({ rows }) =>
    rows<{ id: string }>(KNOWN, { ids }),
  );
  for (const { id } of known) own.delete(id);
  if (own.size === 0) return;
  const lost: [backup: BackupRecord, copies: CopyRecord[]][] = [];
  for (const backup of own.values()) lost.push([backup, await file.catalog.copies(backup.id)]);
  await transactions.do("record lost backups again", async ({ run }) => {
    for (const [backup, copies] of lost) {
      await run(...upsert(BACKUPS, ["id"], backup));
      for (const copy of copies) await run(...upsert(COPIES, ["backup_id", "storage"], copy));
    }
  });
  log?.warning("the catalog had lost backups of this host, as after a fail-over; they are recorded again", {
    backups: lost.length,
  });
}
