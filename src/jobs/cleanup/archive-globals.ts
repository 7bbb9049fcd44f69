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
import { ownershipOf, ownPages } from "../ownership.ts";
import { storageNamed } from "../storages.ts";
import { archiveCopy } from "./archive-copy.ts";
import { SILENT_MAX } from "./expire-copies.ts";
import type { CleanupTally } from "./report.ts";

/** A copy in one of these states is there, or repair makes it again. */
const STORED: readonly CopyState[] = ["CONFIRMED", "DAMAGED", "MISSING"];

/** The good globals of one server. */
interface GlobalsOfServer {
  newestFirst: BackupOutline[];
  byRun: Map<string, BackupOutline>;
}

/**
 * Gives each archive the globals that its dumps need: those that `restore --with-globals` chooses. Retention keeps them
 * as long as a dump needs them. A failure of one copy is recorded and does not stop the others.
 */
export async function archiveGlobals(context: JobContext, runId: string, tally: CleanupTally): Promise<void> {
  const silent = new Map<Storage, number>();
  for (const { globals, archives } of await lackingGlobals(context, new Map()))
    for (const to of archives) await archiveUnderLease({ context, runId, tally, silent }, globals, to);
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
  for (const { globals, archives } of await lackingGlobals(context, moving)) {
    const key = (await context.catalog.backup(globals.id))?.object_key;
    for (const { name } of archives)
      if (key !== undefined)
        tally.note(name, key, "would be archived too: dumps in this storage need these globals");
  }
}

interface LackingGlobals {
  globals: BackupOutline;
  archives: Set<Storage>;
}

/** `moving`: by the backup's id, the archives that get a copy of it before. */
async function lackingGlobals(
  context: JobContext,
  moving: ReadonlyMap<string, ReadonlySet<string>>,
): Promise<Iterable<LackingGlobals>> {
  const { catalog, config } = context;
  const archives = archiveNames(config).flatMap((name) => storageNamed(context, name) ?? []);
  const missing = new Map<string, LackingGlobals>();
  if (archives.length === 0) return [];
  const globals = await goodGlobals(context);
  const isIn = (backup: BackupOutline, { name }: Storage) =>
    isStored(backup, name) || moving.get(backup.id)?.has(name) === true;
  const ownership = await ownershipOf(context);
  for await (const page of ownPages(ownership, catalog.outlines({ status: ["VERIFIED", "PARTIAL"] }))) {
    context.signal.throwIfAborted();
    for (const dump of page) {
      if (isGlobalsPlace(dump)) continue;
      for (const archive of archives) {
        if (!isIn(dump, archive)) continue;
        const chosen = neededBy(dump, globals.get(dump.server));
        if (chosen === undefined || isIn(chosen, archive)) continue;
        const lacking = missing.get(chosen.id) ?? { globals: chosen, archives: new Set() };
        missing.set(chosen.id, lacking);
        lacking.archives.add(archive);
      }
    }
  }
  return missing.values();
}

interface Archiving {
  context: JobContext;
  runId: string;
  tally: CleanupTally;
  /** Failures in a row because a storage did not answer, by the archive. */
  silent: Map<Storage, number>;
}

function isStored({ copies }: BackupOutline, name: string): boolean {
  return copies.some(({ storage, state }) => storage === name && STORED.includes(state));
}

async function goodGlobals({ catalog }: JobContext): Promise<ReadonlyMap<string, GlobalsOfServer>> {
  const found = new Map<string, GlobalsOfServer>();
  for await (const page of catalog.outlines({ status: ["VERIFIED", "PARTIAL"] }))
    for (const one of page) {
      const isGood = one.unreadable === null && one.copies.some(({ state }) => state === "CONFIRMED");
      if (!isGlobalsPlace(one) || !isGood) continue;
      const ofServer: GlobalsOfServer = found.get(one.server) ?? { newestFirst: [], byRun: new Map() };
      found.set(one.server, ofServer);
      ofServer.newestFirst.push(one);
      if (!ofServer.byRun.has(one.run_id)) ofServer.byRun.set(one.run_id, one);
    }
  return found;
}

/** Of the dump's run, otherwise the newest before it, otherwise the first after it, as a restore chooses. */
function neededBy(
  { run_id, started_at }: BackupOutline,
  globals: GlobalsOfServer | undefined,
): BackupOutline | undefined {
  if (globals === undefined) return undefined;
  const { newestFirst: all, byRun } = globals;
  let [low, high] = [0, all.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((all[middle]?.started_at ?? "") > started_at) low = middle + 1;
    else high = middle;
  }
  return byRun.get(run_id) ?? all[low] ?? all.at(-1);
}

async function archiveUnderLease(
  { context, runId, tally, silent }: Archiving,
  { id, server }: BackupOutline,
  to: Storage,
): Promise<void> {
  const { catalog, clock, host, log, pid } = context;
  const backup = await catalog.backup(id);
  if (!backup) return;
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
