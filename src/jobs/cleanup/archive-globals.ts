import { messageOf, Pg321Error } from "../../base/errors.ts";
import { leaseName } from "../../catalog/database-lease.ts";
import { underLease } from "../../catalog/fleet/fenced-catalog.ts";
import { GLOBALS_DATABASE, isGlobalsPlace } from "../../catalog/globals.ts";
import { holdLease, isAwaited } from "../../catalog/lease.ts";
import type { BackupOutline } from "../../catalog/outlines.ts";
import type { BackupRecord, CopyState } from "../../catalog/records.ts";
import { archiveNames } from "../../config/database/settings.ts";
import type { RetentionDecision } from "../../retention/plan.ts";
import type { Storage } from "../../storage/storage.ts";
import type { JobContext } from "../context.ts";
import { settleStatus } from "../copies/backup-status.ts";
import { LongList } from "../long-list.ts";
import { ownershipOf } from "../ownership.ts";
import { storageNamed } from "../storages.ts";
import { archiveCopy } from "./archive-copy.ts";
import { SILENT_MAX } from "./expire-copies.ts";
import { type GoodGlobals, NeededGlobals } from "./needed-globals.ts";
import type { CleanupTally } from "./report.ts";

/** A copy in one of these states is there, or repair makes it again. */
const STORED: readonly CopyState[] = ["CONFIRMED", "DAMAGED", "MISSING"];

/**
 * Gives each archive the globals that its dumps need: those that `restore --with-globals` chooses. Retention keeps them
 * as long as a dump needs them. A failure of one copy is recorded and does not stop the others.
 */
export async function archiveGlobals(context: JobContext, runId: string, tally: CleanupTally): Promise<void> {
  const silent = new Map<Storage, number>();
  await using lacking = await lackingGlobals(context, new Map());
  for await (const one of lacking) {
    const to = storageNamed(context, one.archive);
    if (to) await archiveUnderLease({ context, runId, tally, silent }, one, to);
  }
}

/** Notes which globals a cleanup with these decisions would give to archives. Changes nothing. */
export async function previewGlobals(
  context: JobContext,
  decisions: AsyncIterable<RetentionDecision[]>,
  tally: CleanupTally,
): Promise<void> {
  const archiveOf = new Map(
    context.config.storage.flatMap(({ name, expire }) =>
      typeof expire === "object" ? [[name, expire.archive_to]] : [],
    ),
  );
  if (archiveOf.size === 0) return;
  const moving = new Map<string, Set<string>>();
  for await (const batch of decisions)
    for (const { action, backupId, storage } of batch) {
      const archive = archiveOf.get(storage);
      if (action !== "expire" || archive === undefined) continue;
      moving.set(backupId, (moving.get(backupId) ?? new Set()).add(archive));
    }
  await using lacking = await lackingGlobals(context, moving);
  for await (const { id, archive } of lacking) {
    const key = (await context.catalog.backup(id))?.object_key;
    if (key !== undefined)
      tally.note(archive, key, "would be archived too: dumps in this storage need these globals");
  }
}

/** Globals that an archive lacks. */
interface LackingGlobals {
  id: string;
  server: string;
  archive: string;
}

/** The last globals that were found, by which most of those found again are known. */
const FOUND_MAX = 10_000;

/** `moving`: by the backup's id, the archives that get a copy of it before. */
async function lackingGlobals(
  context: JobContext,
  moving: ReadonlyMap<string, ReadonlySet<string>>,
): Promise<LongList<LackingGlobals>> {
  const { catalog, config } = context;
  const archives = archiveNames(config).filter((name) => storageNamed(context, name));
  await using opened = new AsyncDisposableStack();
  const lacking = opened.use(new LongList<LackingGlobals>(context));
  const isIn = (backup: Pick<BackupOutline, "id" | "copies">, archive: string) =>
    isStored(backup, archive) || moving.get(backup.id)?.has(archive) === true;
  const found = new Set<string>();
  const onNeed = async (globals: GoodGlobals, archive: string) => {
    const key = `${globals.id} ${archive}`;
    if (isIn(globals, archive) || found.has(key)) return;
    found.add(key);
    const [oldest] = found;
    if (found.size > FOUND_MAX && oldest !== undefined) found.delete(oldest);
    await lacking.push({ id: globals.id, server: globals.server, archive });
  };
  const servers = new Map<string, NeededGlobals>();
  const { owns } = await ownershipOf(context);
  const all = archives.length === 0 ? [] : catalog.outlines({ status: ["VERIFIED", "PARTIAL"] });
  for await (const page of all) {
    context.signal.throwIfAborted();
    for (const one of page) {
      const { server } = one;
      const needed = servers.get(server) ?? new NeededGlobals(catalog, server, onNeed);
      servers.set(server, needed);
      if (isGlobalsPlace(one)) {
        const isGood = one.unreadable === null && one.copies.some(({ state }) => state === "CONFIRMED");
        if (isGood) await needed.addGlobals(one);
      } else if (owns(one)) {
        const having = archives.filter((archive) => isIn(one, archive));
        if (having.length > 0) await needed.addDump(one, having);
      }
    }
  }
  for (const needed of servers.values()) await needed.end();
  opened.move();
  return lacking;
}

interface Archiving {
  context: JobContext;
  runId: string;
  tally: CleanupTally;
  /** Failures in a row because a storage did not answer, by the archive. */
  silent: Map<Storage, number>;
}

function isStored({ copies }: Pick<BackupOutline, "copies">, name: string): boolean {
  return copies.some(({ storage, state }) => storage === name && STORED.includes(state));
}

async function archiveUnderLease(
  { context, runId, tally, silent }: Archiving,
  { id, server }: LackingGlobals,
  to: Storage,
): Promise<void> {
  const { catalog, clock, host, log, pid } = context;
  const backup = await catalog.backup(id);
  // It may have been found twice.
  if (!backup || isStored({ copies: await catalog.copies(id) }, to.name)) return;
  const name = leaseName(server, GLOBALS_DATABASE);
  if (await isAwaited(catalog, name, await catalog.leaseTime(clock)))
    return tally.note(to.name, backup.object_key, `not archived in this run: a backup of ${name} is waiting`);
  try {
    if ((silent.get(to) ?? 0) >= SILENT_MAX)
      throw new Pg321Error(
        "storage",
        `storage "${to.name}": skipped: ${SILENT_MAX} globals in a row could not be archived because a storage did not answer`,
      );
    const request = { name, runId, host, pid };
    await using lease = await holdLease(catalog, request, { clock, signal: context.signal });
    await fill(underLease(context, lease), backup, to);
    silent.delete(to);
    tally.note(to.name, backup.object_key, "archived too: dumps in this storage need these globals");
    log.info("globals were archived with their dumps", { storage: to.name, backup_id: id });
  } catch (error) {
    context.signal.throwIfAborted();
    if (error instanceof Pg321Error && error.code === "locked")
      return tally.note(to.name, backup.object_key, `not archived in this run: ${messageOf(error)}`);
    if (error instanceof Pg321Error && error.retryable) silent.set(to, (silent.get(to) ?? 0) + 1);
    tally.in(to.name).failed++;
    tally.fail(to.name, backup.object_key, messageOf(error));
    log.error("globals could not be archived", { storage: to.name, backup_id: id, error: messageOf(error) });
  } finally {
    await settleStatus(context, backup);
  }
}

/** Tries the storages with a confirmed copy, those on site first. */
async function fill(context: JobContext, backup: BackupRecord, to: Storage): Promise<void> {
  const copies = await context.catalog.copies(backup.id);
  const sources = copies
    .filter(({ state, storage }) => state === "CONFIRMED" && storage !== to.name)
    .flatMap(({ storage }) => storageNamed(context, storage) ?? [])
    .sort((a, b) => Number(a.settings.off_site) - Number(b.settings.off_site));
  let failure: unknown = new Pg321Error("storage", `${backup.object_key} is in no storage of the config`);
  for (const from of sources) {
    try {
      return await archiveCopy(context, backup, { from, to }, context.signal);
    } catch (error) {
      context.signal.throwIfAborted();
      failure = error;
    }
  }
  throw failure;
}
