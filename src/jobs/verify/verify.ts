import { hintOf, messageOf, Pg321Error, UnreadableDump } from "../../base/errors.ts";
import { plural } from "../../base/text/amounts.ts";
import type { BackupRecord, RunOutcome } from "../../catalog/records.ts";
import type { Storage } from "../../storage/storage.ts";
import type { JobContext } from "../context.ts";
import { copyVerdict, LOOKED_FOR, recordLook, recordUnreadable } from "../copies/damage.ts";
import { readLockAgain } from "../copies/locks.ts";
import { dateAgain } from "../copies/stored-object.ts";
import { readBack } from "../load/read-copy.ts";
import { LongList } from "../long-list.ts";
import { recognizeStorages } from "../markers/storage-identity.ts";
import { ownershipOf } from "../ownership.ts";
import { recordRun } from "../record-run.ts";
import { storageNamed } from "../storages.ts";
import { alertVerify } from "./alerts.ts";
import { Budget, type ChosenCopies, type VerifyLimit } from "./budget.ts";
import type { CopyVerdict, VerifyReport } from "./report.ts";

export interface VerifyOptions {
  /** Only the copies in this storage. */
  storage?: string | undefined;
  /** A person named the backups, so this is not the whole job. */
  isPicked?: boolean;
  /** Ends the run when it is reached; at least one copy is read. */
  limit?: VerifyLimit | undefined;
  /** Called once keys and storages are in order, before the first copy is read. */
  onBegin?: () => void;
}

/** What the log says about a copy that could not be read back, or whose bytes are wrong. */
const PROBLEMS: Readonly<Record<Exclude<CopyVerdict["verdict"], "good">, string>> = {
  damaged: "a copy is damaged",
  missing: "a copy is missing",
  unreachable: "a copy could not be checked: its storage is unreachable",
  unopened: "a copy cannot be opened with the keys of this host",
};

type VerifyStatistics = { copies: number; good: number; bad: number; bytes: number };

const UNCHECKED = { segments_checked: false, archive_checked: false, archive_note: null } as const;

/**
 * Reads back the whole copies of these backups, checks manifest, hash, every segment and the dump, and records the
 * results. Backups of another host are only read if a person named them.
 * Damage in one copy does not end the run. Backups that no longer exist are skipped. A scheduled run without any backup
 * is IDLE; otherwise it throws if there was no copy to check: code `usage` if backups or a storage were named, else
 * `verification`.
 */
export async function runVerify(
  context: JobContext,
  chosen: AsyncIterable<ChosenCopies> | Iterable<ChosenCopies>,
  { storage: only, isPicked = false, limit, onBegin = () => {} }: VerifyOptions = {},
): Promise<VerifyReport> {
  await using opened = new AsyncDisposableStack();
  const verdicts = opened.use(new LongList<CopyVerdict>(context));
  const found = new Set<CopyVerdict["verdict"]>();
  let good = 0;
  let firstError: string | null = null;
  const isPart = isPicked || only !== undefined;
  const work = async (): Promise<{
    outcome: RunOutcome;
    statistics: VerifyStatistics;
    error: string | null;
  }> => {
    // An unreadable identity says nothing about a copy: fail once, before reading all of them.
    await context.keys.identity();
    const recognized = await recognizeStorages(context, "verify");
    onBegin();
    let backups = 0;
    const budget = new Budget(limit);
    const { owns } = await ownershipOf(context);
    for await (const one of chosen) {
      const { id, storage: place } = typeof one === "string" ? { id: one, storage: undefined } : one;
      const backup = await context.catalog.backup(id);
      if (!backup || !(isPicked || owns(backup))) continue;
      backups++;
      for (const copy of await context.catalog.copies(backup.id)) {
        const storage = storageNamed(recognized, copy.storage);
        const isWanted = [only, place].every((name) => name === undefined || name === copy.storage);
        if (!storage || !isWanted || !LOOKED_FOR.includes(copy.state) || budget.skips(copy.storage)) continue;
        if (!budget.allows(copy)) break;
        const verdict = await verifyCopy(context, backup, storage);
        if (!verdict) continue;
        await verdicts.push(budget.spend(verdict));
        found.add(verdict.verdict);
        if (verdict.verdict === "good") good++;
        firstError ??= verdict.error;
      }
      if (budget.isSpent) break;
    }
    // The databases of the schedule have no backup yet.
    if (backups === 0 && context.schedule)
      return {
        outcome: "IDLE",
        statistics: { copies: 0, good: 0, bad: 0, bytes: 0 },
        error: "there is no backup to verify",
      };
    if (verdicts.length === 0) throw noCopy(backups, only, isPart);
    const bad = verdicts.length - good;
    return {
      outcome: bad === 0 ? "OK" : "PARTIAL",
      statistics: { copies: verdicts.length, good, bad, bytes: budget.bytes },
      error: firstError,
    };
  };
  const { run } = await recordRun(context, "verify", work, {
    isPart: isPart || (limit !== undefined && !context.schedule),
  });
  await alertVerify(context, { run, verdicts });
  opened.move();
  return { run, verdicts, found };
}

/** The error for a run that found no copy to read. */
function noCopy(backups: number, storage: string | undefined, isPart: boolean): Pg321Error {
  const of = plural(backups, "backup");
  const hint = "see where a backup has copies with pg321 show ID; fill missing ones with pg321 repair";
  if (storage !== undefined)
    return new Pg321Error("usage", `${of}: no copy to verify in storage "${storage}"`, { hint });
  const message = `nothing was verified: no usable storage has a copy of ${of}`;
  return new Pg321Error(isPart ? "usage" : "verification", message, { hint });
}

/** Undefined if the copy was removed, or is being made again, since the check began. */
async function verifyCopy(
  context: JobContext,
  backup: BackupRecord,
  storage: Storage,
): Promise<CopyVerdict | undefined> {
  const { clock, signal, log } = context;
  const about = {
    backup_id: backup.id,
    server: backup.server,
    database: backup.database,
    storage: storage.name,
    object_bytes: backup.object_bytes ?? 0,
  };
  try {
    const checked = await readBack(context, backup, storage);
    // The bytes alone do not make it good again.
    if (backup.unreadable !== null && !checked.archive_checked) throw new UnreadableDump(backup.unreadable);
    const now = clock.now().toISOString();
    const found = { state: "CONFIRMED", verified_at: now, error: null } as const;
    if (!(await recordLook(context, backup, storage, found))) return undefined;
    await dateAgain(context, backup, storage);
    await readLockAgain(context, backup, storage, "verify");
    if (checked.archive_checked && backup.unreadable !== null)
      await context.catalog.updateBackup(backup.id, { unreadable: null });
    return { ...about, ...checked, verdict: "good", error: null, hint: null };
  } catch (error) {
    signal.throwIfAborted();
    const verdict = await copyVerdict(context, error, backup, storage, signal);
    const state = verdict === "missing" ? "MISSING" : "DAMAGED";
    const found =
      verdict === "missing" || verdict === "damaged" ? ({ state, error: messageOf(error) } as const) : {};
    if (!(await recordLook(context, backup, storage, found))) return undefined;
    if (error instanceof UnreadableDump) await recordUnreadable(context, backup, error.message);
    log.error(PROBLEMS[verdict], {
      storage: storage.name,
      backup_id: backup.id,
      verdict,
      error: messageOf(error),
    });
    return { ...about, ...UNCHECKED, verdict, error: messageOf(error), hint: hintOf(error) };
  }
}
