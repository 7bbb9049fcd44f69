import { hintOf, messageOf, Pg321Error } from "../../base/errors.ts";
import { plural } from "../../base/text/amounts.ts";
import type { BackupRecord, RunOutcome } from "../../catalog/records.ts";
import { openSealed } from "../../sealed/open.ts";
import type { Storage } from "../../storage/storage.ts";
import type { CompressionAlgorithm } from "../../stream/compression.ts";
import { observed } from "../../stream/meter.ts";
import type { JobContext } from "../context.ts";
import { copyVerdict, LOOKED_FOR, recordLook } from "../copies/damage.ts";
import { readLockAgain } from "../copies/locks.ts";
import { shortId } from "../copies/object-key.ts";
import { decompressed } from "../copies/read-backup.ts";
import { expectedNames } from "../copies/sealed-copies.ts";
import { checkedObject, readManifestText } from "../copies/stored-object.ts";
import { recognizeStorages } from "../markers/storage-identity.ts";
import { ProgressMeter } from "../progress.ts";
import { recordRun } from "../record-run.ts";
import { storageNamed } from "../storages.ts";
import { alertVerify } from "./alerts.ts";
import type { CopyVerdict, VerifyReport } from "./report.ts";

export interface VerifyOptions {
  /** Only the copies in this storage. */
  storage?: string | undefined;
  /** A person named the backups, so this is not the whole job. */
  isPicked?: boolean;
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

type VerifyStatistics = { copies: number; good: number; bad: number };

/**
 * Reads back the whole copies of these backups, checks manifest, hash and every segment, and records the results.
 * Damage in one copy does not end the run. Backups that no longer exist are skipped. A scheduled run without any backup
 * is IDLE; otherwise it throws if there was no copy to check: code `usage` if backups or a storage were named, else
 * `verification`.
 */
export async function runVerify(
  context: JobContext,
  ids: AsyncIterable<string> | Iterable<string>,
  { storage: only, isPicked = false, onBegin = () => {} }: VerifyOptions = {},
): Promise<VerifyReport> {
  const verdicts: CopyVerdict[] = [];
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
    for await (const id of ids) {
      const backup = await context.catalog.backup(id);
      if (!backup) continue;
      backups++;
      for (const copy of await context.catalog.copies(backup.id)) {
        const storage = storageNamed(recognized, copy.storage);
        if (!storage || !LOOKED_FOR.includes(copy.state) || (only !== undefined && only !== storage.name))
          continue;
        const verdict = await verifyCopy(context, backup, storage);
        if (verdict) verdicts.push(verdict);
      }
    }
    // The databases of the schedule have no backup yet.
    if (backups === 0 && context.schedule)
      return {
        outcome: "IDLE",
        statistics: { copies: 0, good: 0, bad: 0 },
        error: "there is no backup to verify",
      };
    if (verdicts.length === 0) throw noCopy(backups, only, isPart);
    const bad = verdicts.filter(({ verdict }) => verdict !== "good").length;
    return {
      outcome: bad === 0 ? "OK" : "PARTIAL",
      statistics: { copies: verdicts.length, good: verdicts.length - bad, bad },
      error: verdicts.find(({ error }) => error !== null)?.error ?? null,
    };
  };
  const { run } = await recordRun(context, "verify", work, { isPart });
  await alertVerify(context, { run, verdicts });
  return { run, verdicts };
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
    const segments_checked = await readBack(context, backup, storage);
    const now = clock.now().toISOString();
    const found = { state: "CONFIRMED", verified_at: now, error: null } as const;
    if (!(await recordLook(context, backup, storage, found))) return undefined;
    await readLockAgain(context, backup, storage, "verify");
    return { ...about, verdict: "good", segments_checked, error: null, hint: null };
  } catch (error) {
    signal.throwIfAborted();
    const verdict = await copyVerdict(context, error, backup, storage, signal);
    const state = verdict === "missing" ? "MISSING" : "DAMAGED";
    const found =
      verdict === "missing" || verdict === "damaged" ? ({ state, error: messageOf(error) } as const) : {};
    if (!(await recordLook(context, backup, storage, found))) return undefined;
    log.error(PROBLEMS[verdict], {
      storage: storage.name,
      backup_id: backup.id,
      verdict,
      error: messageOf(error),
    });
    return { ...about, verdict, segments_checked: false, error: messageOf(error), hint: hintOf(error) };
  }
}

/** Throws if a copy is not good. Returns whether its segments could be opened. */
async function readBack(context: JobContext, backup: BackupRecord, storage: Storage): Promise<boolean> {
  const { keys, signal } = context;
  await checkManifest(backup, storage, signal);
  // Before the progress is shown: this may have to ask for a passphrase.
  const identities = (await keys.identity())?.identities;
  const title = `verify ${shortId(backup.id)} ${backup.server}/${backup.database} in ${storage.name}`;
  const progress = new ProgressMeter(context.progress, title, backup.object_bytes ?? undefined);
  const source = observed(checkedObject(storage, backup, signal), (bytes) => progress.pass(bytes));
  try {
    if (backup.encryption === "age" && identities) {
      const trust = { trustedSigners: await keys.trustedSigners(), expected: expectedNames(backup) };
      const { plaintext } = await openSealed(source, trust, identities);
      await drain(decompressed(plaintext, backup.compression as CompressionAlgorithm));
      return true;
    }
    await drain(source);
    return backup.encryption === "none";
  } catch (error) {
    // If the bytes are not the recorded ones, it is damage (somebody replaced the file) and not a problem of the key.
    if (isKeyError(error)) await drain(checkedObject(storage, backup, signal));
    throw error;
  } finally {
    progress.end();
  }
}

/** Compares the manifest with the recorded text: if they are equal, no other proof is needed. */
async function checkManifest(backup: BackupRecord, storage: Storage, signal: AbortSignal): Promise<void> {
  const text = await readManifestText(storage, backup.object_key, signal);
  if (text === backup.manifest) return;
  const what = `storage "${storage.name}": ${backup.object_key}`;
  if (text === undefined && !(await storage.head(backup.object_key, signal)))
    throw new Pg321Error("storage", `${what}: object and manifest are missing`);
  const manifest =
    text === undefined ? "its manifest is missing" : "its manifest differs from the recorded one";
  throw new Pg321Error("verification", `${what}: ${manifest}`, {
    hint: "pg321 repair replaces it from a good copy",
  });
}

function isKeyError(error: unknown): boolean {
  return error instanceof Pg321Error && error.code === "key";
}

async function drain(source: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _ of source);
}
