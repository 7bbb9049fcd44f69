import { messageOf, Pg321Error } from "../base/errors.ts";
import type { BackupRecord, RunRecord } from "../catalog/catalog.ts";
import { openSealed } from "../sealed/open.ts";
import type { Storage } from "../storage/storage.ts";
import type { CompressionAlgorithm } from "../stream/compression.ts";
import { counted } from "../stream/meter.ts";
import type { JobContext } from "./context.ts";
import { recordRun, storageNamed } from "./context.ts";
import { checkedObject, readManifestText } from "./copy.ts";
import { LOOKED_FOR, recordLook, verdictOf } from "./damage.ts";
import { shortId } from "./object-key.ts";
import { ProgressMeter } from "./progress.ts";
import { decompressed } from "./read-backup.ts";
import { alertVerify } from "./run-alerts.ts";
import { expectedNames } from "./sealed-copies.ts";
import { recognizeStorages } from "./storage-identity.ts";

export interface CopyVerdict {
  backup_id: string;
  server: string;
  database: string;
  storage: string;
  /**
   * `good`: read whole and right; `unreachable`: the storage did not answer, nothing is known; `unopened`:
   * the bytes are the recorded ones, and no key of this host opens them.
   */
  verdict: "good" | "damaged" | "missing" | "unreachable" | "unopened";
  /** Whether every segment was opened too; without an identity only the hash could be checked. */
  segments_checked: boolean;
  object_bytes: number;
  error: string | null;
}

export interface VerifyReport {
  run: RunRecord;
  verdicts: CopyVerdict[];
}

/** The id of every backup with a manifest, newest first. */
export async function* backupsToVerify({ catalog }: Pick<JobContext, "catalog">): AsyncGenerator<string> {
  for await (const outlines of catalog.outlines({})) for (const { id } of outlines) yield id;
}

/**
 * Reads copies of the backups of these ids back whole and checks manifest, hash and every segment; records what it
 * found. Damage in one copy does not end the run. A backup that was removed since it was named is passed over.
 */
export async function runVerify(
  context: JobContext,
  ids: AsyncIterable<string> | Iterable<string>,
  only?: string,
): Promise<VerifyReport> {
  const verdicts: CopyVerdict[] = [];
  const { run } = await recordRun(context, "verify", async () => {
    // An identity that cannot be read says nothing of any copy: it is told once, before all of them are read.
    await context.keys.identity();
    const recognized = await recognizeStorages(context, "verify");
    for await (const id of ids) {
      const backup = await context.catalog.backup(id);
      if (!backup) continue;
      for (const copy of await context.catalog.copies(backup.id)) {
        const storage = storageNamed(recognized, copy.storage);
        if (!storage || !LOOKED_FOR.includes(copy.state) || (only !== undefined && only !== storage.name))
          continue;
        const verdict = await verifyCopy(context, backup, storage);
        if (verdict) verdicts.push(verdict);
      }
    }
    const bad = verdicts.filter(({ verdict }) => verdict !== "good").length;
    return {
      outcome: bad === 0 ? "OK" : "PARTIAL",
      statistics: { copies: verdicts.length, good: verdicts.length - bad, bad },
      error: verdicts.find(({ error }) => error !== null)?.error ?? null,
    };
  });
  await alertVerify(context, { run, verdicts });
  return { run, verdicts };
}

/** Undefined for a copy that was removed, or is being made anew, since the look at it began. */
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
    return { ...about, verdict: "good", segments_checked, error: null };
  } catch (error) {
    signal.throwIfAborted();
    const verdict = await verdictOf(error, backup, storage, signal);
    const state = verdict === "missing" ? "MISSING" : "DAMAGED";
    const found =
      verdict === "missing" || verdict === "damaged" ? ({ state, error: messageOf(error) } as const) : {};
    if (!(await recordLook(context, backup, storage, found))) return undefined;
    log.error("a copy is not good", {
      storage: storage.name,
      backup_id: backup.id,
      verdict,
      error: messageOf(error),
    });
    return { ...about, verdict, segments_checked: false, error: messageOf(error) };
  }
}

/** Throws what is wrong with a copy. Returns whether its segments could be opened. */
async function readBack(context: JobContext, backup: BackupRecord, storage: Storage): Promise<boolean> {
  const { keys, signal } = context;
  await checkManifest(backup, storage, signal);
  // Before the progress begins: it may have to ask for a passphrase.
  const identities = (await keys.identity())?.identities;
  const title = `verify ${shortId(backup.id)} ${backup.server}/${backup.database} in ${storage.name}`;
  const progress = new ProgressMeter(context.progress, title, backup.object_bytes ?? undefined);
  const source = counted(checkedObject(storage, backup, signal), (bytes) => progress.pass(bytes));
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
    // A stranger's file in the place of ours is damage; only of our own bytes is it a matter of the key.
    if (isKeyError(error)) await drain(checkedObject(storage, backup, signal));
    throw error;
  } finally {
    progress.end();
  }
}

/** Compared as text: what was recorded is ours, so what equals it needs no other proof. */
async function checkManifest(backup: BackupRecord, storage: Storage, signal: AbortSignal): Promise<void> {
  const text = await readManifestText(storage, backup.object_key, signal);
  if (text === backup.manifest) return;
  const what = `storage "${storage.name}": ${backup.object_key}`;
  if (text === undefined && !(await storage.head(backup.object_key, signal)))
    throw new Pg321Error("storage", `${what}: object and manifest are missing`);
  const manifest = text === undefined ? "its manifest is missing" : "its manifest is not the recorded one";
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
