import { messageOf, outsideText, Pg321Error } from "../../base/errors.ts";
import { VERSION } from "../../base/version.ts";
import type { BackupKind, BackupRecord, CopyRecord } from "../../catalog/records.ts";
import type { DumpFacts } from "../../postgres/counts/facts.ts";
import { cutFacts } from "../../postgres/counts/facts.ts";
import { detailsBytesMax, sealDetails } from "../../sealed/details.ts";
import { encodeManifest } from "../../sealed/manifest.ts";
import type { CompressionAlgorithm } from "../../stream/compression.ts";
import { NoSinkLeftError } from "../../stream/fan-out.ts";
import type { Meter } from "../../stream/meter.ts";
import type { JobContext } from "../context.ts";
import { statusOf } from "../copies/backup-status.ts";
import { objectKey } from "../copies/object-key.ts";
import type { StoredBackup } from "../copies/steps.ts";
import { failCopy } from "../copies/steps.ts";
import { storageNamed } from "../storages.ts";

/** Writes the record of a backup that begins now. */
export async function recordStart(
  { catalog, clock, config, installation, host }: JobContext,
  runId: string,
  server: string,
  database: string,
  kind: BackupKind = "dump",
): Promise<BackupRecord> {
  const id = crypto.randomUUID();
  const startedAt = clock.now();
  const previous = await catalog.newestGood(server, database, startedAt);
  const compression = config.compression.algorithm;
  const encryption = config.encryption.mode;
  const isSealed = encryption === "age";
  const backup: BackupRecord = {
    id,
    installation,
    server,
    database,
    kind,
    status: "RUNNING",
    run_id: runId,
    object_key: objectKey({ server, database, kind, backupId: id, startedAt, compression, isSealed }),
    started_at: startedAt.toISOString(),
    finished_at: null,
    dump_bytes: null,
    object_bytes: null,
    object_sha256: null,
    compression,
    encryption,
    server_version: null,
    pg_dump_version: null,
    previous_id: previous?.id ?? null,
    manifest: null,
    error: null,
    stderr_tail: null,
    held_at: null,
    hold_until: null,
    hold_reason: null,
    unreadable: null,
    hooks: null,
    host,
    recipients: isSealed ? config.encryption.recipients.join(" ") : null,
    facts: null,
  };
  await catalog.insertBackup(backup);
  return backup;
}

/** The record of a backup whose object is complete, with size, hash and manifest. Nothing is written yet. */
export function describeObject(
  { clock, keys }: Pick<JobContext, "clock" | "keys">,
  backup: BackupRecord,
  meters: { dump: Meter; object: Meter },
  stderrTail: string,
): StoredBackup {
  if (meters.object.sha256 === undefined) throw new Error("the stream ended without a hash");
  const facts = {
    finished_at: clock.now().toISOString(),
    dump_bytes: meters.dump.bytes,
    object_bytes: meters.object.bytes,
    object_sha256: meters.object.sha256,
  };
  const manifest = manifestOf(keys, { ...backup, ...facts });
  return { ...backup, ...facts, manifest, stderr_tail: stderrTail || null };
}

type DescribedBackup = BackupRecord & {
  finished_at: string;
  dump_bytes: number;
  object_bytes: number;
  object_sha256: string;
};

function manifestOf(
  { signingKey }: JobContext["keys"],
  { id, compression, ...rest }: DescribedBackup,
  details?: string,
): string {
  const fields = {
    ...rest,
    backup_id: id,
    pg321_version: VERSION,
    ...(details !== undefined && { details }),
  };
  return encodeManifest({ ...fields, compression: compression as CompressionAlgorithm }, signingKey);
}

/**
 * Adds what was counted in the dump to the record and, sealed, to the manifest. The manifest of an unencrypted backup
 * has no place for it: there is no recipient, and nothing proves who wrote it.
 */
export async function withFacts(
  { config, keys }: Pick<JobContext, "config" | "keys">,
  backup: StoredBackup,
  counted: DumpFacts | undefined,
): Promise<StoredBackup> {
  if (counted === undefined) return backup;
  const recipients = config.encryption.mode === "age" ? config.encryption.recipients : [];
  const facts = cutFacts(counted, detailsBytesMax(recipients.length));
  if (facts === undefined || recipients.length === 0) return { ...backup, facts: facts ?? null };
  const details = await sealDetails({ facts }, recipients);
  return { ...backup, facts, manifest: manifestOf(keys, backup as DescribedBackup & StoredBackup, details) };
}

/** Writes the facts of a complete object to the catalog. */
export function recordObject({ catalog }: Pick<JobContext, "catalog">, backup: StoredBackup): Promise<void> {
  const { id, finished_at, dump_bytes, object_bytes, object_sha256, manifest, stderr_tail, facts } = backup;
  const change = { finished_at, dump_bytes, object_bytes, object_sha256, manifest, stderr_tail, facts };
  return catalog.updateBackup(id, change);
}

/**
 * Closes the record of a backup that ended with an error. A confirmed copy stays and makes the backup PARTIAL. If the
 * dump was incomplete, all unfinished copies are removed. Once the object was complete (`isWhole`), its copies stay,
 * whatever failed afterwards, and the next run confirms them, or removes them if another run had the lease before the
 * manifest was recorded. Returns the error for the caller to throw, even if the
 * catalog cannot be written.
 */
export async function recordFailure(
  context: JobContext,
  backup: BackupRecord,
  error: unknown,
  isWhole: boolean,
): Promise<unknown> {
  try {
    return await closeRecord(context, backup, error, isWhole);
  } catch (failure) {
    const fields = { backup_id: backup.id, error: messageOf(failure) };
    context.log.error("the end of a failed backup could not be recorded; the next run will do it", fields);
    return error;
  }
}

async function closeRecord(
  context: JobContext,
  backup: BackupRecord,
  error: unknown,
  isWhole: boolean,
): Promise<unknown> {
  const { catalog, clock } = context;
  for (const copy of await catalog.copies(backup.id)) {
    const storage = storageNamed(context, copy.storage);
    // A run of this host may have settled it meanwhile, when its object was not there yet: the next one looks again.
    if (isWhole && isLeaseLost(error) && copy.state === "FAILED")
      await catalog.updateCopy(backup.id, copy.storage, { state: "INTENDED" });
    // For a copy with an error this was already tried.
    if (isWhole || !storage || copy.state !== "INTENDED" || copy.error !== null) continue;
    await failCopy(context, backup, storage, reasonFor(copy.storage, error));
  }
  const copies = await catalog.copies(backup.id);
  const reported = error instanceof NoSinkLeftError ? noCopyLeft(copies, error) : error;
  const status = statusOf(copies);
  await catalog.updateBackup(backup.id, {
    status: status === "INTERRUPTED" ? "FAILED" : "PARTIAL",
    finished_at: clock.now().toISOString(),
    error: outsideText(reported),
    ...stderrTailOf(reported),
  });
  return reported;
}

/** Whether the lease of the database was lost, as its renewal or a fenced write has found out. */
export function isLeaseLost(error: unknown): boolean {
  return error instanceof Pg321Error && error.code === "locked";
}

/** Why a storage has no copy. An error of the dump belongs to the backup, not to the storage. */
function reasonFor(storage: string, error: unknown): unknown {
  // The catalog's triggers know this text: it is not counted as an error of the storage.
  if (!(error instanceof NoSinkLeftError))
    return new Error("not stored: the backup ended before it was complete");
  const outcome = error.outcomes.find((one) => one.name === storage);
  return outcome && outcome.state !== "stored" ? outcome.error : error;
}

function noCopyLeft(copies: readonly CopyRecord[], cause: NoSinkLeftError): Pg321Error {
  const { outcomes } = cause;
  const reasons = copies.map((copy) => copy.error ?? "unknown reason");
  const message = `every storage failed: ${reasons.join("; ")}`;
  const hinted = outcomes.find(
    (outcome) => outcome.state === "failed" && outcome.error instanceof Pg321Error,
  );
  const hint = hinted?.state === "failed" ? (hinted.error as Pg321Error).hint : undefined;
  return new Pg321Error("storage", message, { ...(hint !== undefined && { hint }), cause });
}

function stderrTailOf(error: unknown): { stderr_tail: string } | undefined {
  const cause = error instanceof Error ? (error.cause as { stderrTail?: unknown } | undefined) : undefined;
  return typeof cause?.stderrTail === "string" && cause.stderrTail !== ""
    ? { stderr_tail: cause.stderrTail }
    : undefined;
}
