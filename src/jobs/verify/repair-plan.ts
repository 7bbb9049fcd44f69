import { ageMs } from "../../base/clock.ts";
import { DAY_MS } from "../../base/limits.ts";
import type { BackupOutline } from "../../catalog/outlines.ts";
import type { BackupRecord, CopyRecord, CopyState } from "../../catalog/records.ts";
import { keepFor, keepIn } from "../../config/database/settings.ts";
import { Backfill } from "../../retention/backfill.ts";
import type { Storage } from "../../storage/storage.ts";
import type { JobContext } from "../context.ts";
import { statusOf } from "../copies/backup-status.ts";
import type { StoredBackup } from "../copies/steps.ts";
import { ownershipOf, ownPages } from "../ownership.ts";
import { backupStorages } from "../storages.ts";
import type { PlannedCopy } from "./report.ts";

/** Copies that existed and have not expired: they are made again, whatever their age. */
export const LOST: readonly CopyState[] = ["DAMAGED", "MISSING"];

/**
 * Copies that were never completed: they are made while retention would keep them. Removed copies are not made again.
 */
const NEVER_MADE: readonly CopyState[] = ["FAILED", "INTENDED"];

/** States of copies that are or were good. A backup without any of them was never completed and cannot be repaired. */
const ONCE_GOOD: readonly CopyState[] = ["CONFIRMED", "DAMAGED", "MISSING"];

type PlanContext = Pick<JobContext, "catalog" | "clock" | "config" | "host" | "storages">;
type Copies = readonly Pick<CopyRecord, "storage" | "state">[];

/** A backup that lacks a copy, or whose status is out of date. */
export interface LackingBackup {
  id: string;
  /** The storages to fill, by the given copies; empty if only the status is out of date. */
  toFill: (copies: Copies) => Storage[];
  needsWork: (status: BackupRecord["status"], copies: Copies) => boolean;
}

/** Every backup of this host that repair has to work on, newest first. */
export async function* lackingBackups(context: PlanContext): AsyncGenerator<LackingBackup> {
  const { catalog, clock, config, storages } = context;
  const direct = backupStorages(context);
  const { timezone } = config;
  const backfill = new Backfill({
    ...{ now: clock.now(), timezone },
    storages: direct.map(({ settings }) => settings),
  });
  // A backup becomes FAILED when it loses its last good copy: include it, so that this is reported.
  const all = catalog.outlines({ status: ["VERIFIED", "PARTIAL", "FAILED"] });
  for await (const outlines of ownPages(await ownershipOf(context), all)) {
    for (const outline of outlines) {
      // Its copies have the bytes that were written: another copy would be no better.
      if (outline.unreadable !== null) continue;
      const own = backupStorages(context, outline);
      const { server, database } = outline;
      const added = backfill.wanted(candidateOf(outline), keepFor(config, server, database));
      const toFill = (copies: Copies) =>
        storages.filter((storage) => {
          // A storage that the database no longer uses gets nothing.
          if (direct.includes(storage) && !own.includes(storage)) return false;
          const copy = copies.find((one) => one.storage === storage.name);
          if (copy === undefined) return added.includes(storage.name);
          if (LOST.includes(copy.state)) return true;
          const isYoung =
            ageMs(outline.started_at, clock.now()) <
            keepIn(config, storage.settings, server, database).days * DAY_MS;
          return NEVER_MADE.includes(copy.state) && direct.includes(storage) && isYoung;
        });
      // A killed repair may have filled the last copy without updating the status.
      const needsWork = (status: BackupRecord["status"], copies: Copies) =>
        copies.some(({ state }) => ONCE_GOOD.includes(state)) &&
        (toFill(copies).length > 0 || status !== statusOf(copies));
      if (needsWork(outline.status, outline.copies)) yield { id: outline.id, toFill, needsWork };
    }
  }
}

function candidateOf({ server, database, started_at, status, held_at, hold_until, copies }: BackupOutline) {
  const confirmed = copies.filter(({ state }) => state === "CONFIRMED").map(({ storage }) => storage);
  return {
    ...{ server, database, confirmed },
    startedAt: new Date(started_at),
    isGood: status !== "FAILED" && confirmed.length > 0,
    isHeld: held_at !== null,
    heldUntil: hold_until === null ? undefined : new Date(hold_until),
    recorded: copies.map(({ storage }) => storage),
  };
}

/** The storages other than `to` that have a confirmed copy, local first. */
export function sourcesFor(
  { storages }: Pick<JobContext, "storages">,
  copies: Copies,
  to: Storage,
): Storage[] {
  const confirmed = copies.filter((copy) => copy.state === "CONFIRMED").map((copy) => copy.storage);
  return storages
    .filter((storage) => storage !== to && confirmed.includes(storage.name))
    .sort((a, b) => Number(a.settings.off_site) - Number(b.settings.off_site));
}

/** Every copy that repair would make now, by the records alone: asks no storage, and changes nothing. */
export async function* planRepair(context: PlanContext): AsyncGenerator<PlannedCopy> {
  for await (const { id, toFill } of lackingBackups(context)) {
    const backup = await context.catalog.backup(id);
    if (!backup || !isStored(backup)) continue;
    const copies = await context.catalog.copies(id);
    for (const to of toFill(copies)) {
      const [from] = sourcesFor(context, copies, to);
      yield {
        backup_id: id,
        server: backup.server,
        database: backup.database,
        storage: to.name,
        from: from?.name ?? null,
        object_bytes: backup.object_bytes ?? 0,
        state: copies.find(({ storage }) => storage === to.name)?.state ?? null,
        may_be_charged: from !== undefined && from.settings.type === "s3" && from.settings.off_site,
      };
    }
  }
}

export function isStored(backup: BackupRecord): backup is StoredBackup {
  return backup.manifest !== null;
}
