import { Pg321Error, UnreadableDump } from "../../base/errors.ts";
import { backupName } from "../../catalog/globals.ts";
import type { BackupRecord } from "../../catalog/records.ts";
import { readThrough } from "../../postgres/archive/read-through.ts";
import { CompletionCheck } from "../../postgres/globals/complete.ts";
import { openSealed } from "../../sealed/open.ts";
import type { Storage } from "../../storage/storage.ts";
import type { CompressionAlgorithm } from "../../stream/compression.ts";
import { observed } from "../../stream/meter.ts";
import type { JobContext } from "../context.ts";
import { shortId } from "../copies/object-key.ts";
import { decompressed } from "../copies/read-backup.ts";
import { headerNames } from "../copies/sealed-copies.ts";
import { checkedObject, readManifestText } from "../copies/stored-object.ts";
import { ProgressMeter } from "../progress.ts";
import { openDump } from "./dump-form.ts";
import { readStreamsThrough } from "./streams-through.ts";

/** How far a good copy was checked. */
export interface ReadBack {
  /** Whether every segment was opened too; without an identity only the hash can be checked. */
  segments_checked: boolean;
  /** Whether pg_restore read the dump to its end. */
  archive_checked: boolean;
  /** Why pg_restore did not read the dump of a good copy; null: it did. */
  archive_note: string | null;
}

/**
 * Reads a whole copy: manifest, hash and, if this host can open it, every segment, the compression, and the dump with
 * pg_restore. Nothing is written to a disk. Throws if the copy is not good; `UnreadableDump` if its bytes are those that
 * were written, but the dump in them cannot be read.
 */
export async function readBack(
  context: JobContext,
  backup: BackupRecord,
  storage: Storage,
): Promise<ReadBack> {
  const { keys, signal } = context;
  await checkManifest(backup, storage, signal);
  // Before the progress is shown: this may have to ask for a passphrase.
  const identities = (await keys.identity())?.identities;
  const title = `verify ${shortId(backup.id)} ${backupName(backup)} in ${storage.name}`;
  const progress = new ProgressMeter(context.progress, title, backup.object_bytes ?? undefined);
  const source = observed(checkedObject(storage, backup, signal), (bytes) => progress.pass(bytes));
  try {
    if (backup.encryption === "age" && identities) {
      const trust = { trustedSigners: await keys.trustedSigners(), expected: headerNames(backup) };
      const sealed = await openSealed(source, trust, identities);
      return { segments_checked: true, ...(await readDump(context, backup, sealed)) };
    }
    await drain(source);
    // Bytes that nobody has signed are not given to pg_restore.
    const isPlain = backup.encryption === "none";
    const archive_note = isPlain ? "the backup is not encrypted" : "no identity here";
    return { segments_checked: isPlain, archive_checked: false, archive_note };
  } catch (error) {
    // If the bytes are not the recorded ones, it is damage (somebody replaced the file), and neither a problem of the key
    // nor of the dump.
    if (isKeyError(error) || error instanceof UnreadableDump)
      await drain(checkedObject(storage, backup, signal));
    throw error;
  } finally {
    progress.end();
  }
}

async function readDump(
  { config, signal }: JobContext,
  backup: BackupRecord,
  { version, plaintext }: Pick<Awaited<ReturnType<typeof openSealed>>, "version" | "plaintext">,
): Promise<Pick<ReadBack, "archive_checked" | "archive_note">> {
  const plain = decompressed(plaintext, backup.compression as CompressionAlgorithm);
  if (backup.kind !== "dump") {
    await readGlobals(plain);
    return { archive_checked: true, archive_note: null };
  }
  const options = {
    pgDumpVersion: backup.pg_dump_version,
    binDir: config.server.find(({ name }) => name === backup.server)?.bin_dir,
    nice: config.dump.nice,
    signal,
  };
  const { container, archive } = await openDump(plain, version);
  const archive_note = container
    ? await readStreamsThrough(container, options)
    : await readThrough(archive, options);
  return { archive_checked: archive_note === null, archive_note };
}

async function readGlobals(plain: AsyncIterable<Uint8Array>): Promise<void> {
  const end = new CompletionCheck();
  for await (const bytes of plain) end.pass(bytes);
  if (!end.isComplete)
    throw new UnreadableDump("the backup of globals does not end as pg_dumpall's output does");
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
