import { alertDamage } from "../../alerts/copy-alerts.ts";
import { hintOf, messageOf, outsideText, UnreadableDump } from "../../base/errors.ts";
import type { BackupRecord } from "../../catalog/records.ts";
import type { Job } from "../../config/config.ts";
import { suggestsBrokenDump } from "../../postgres/archive/read-through.ts";
import type { Storage } from "../../storage/storage.ts";
import type { JobContext } from "../context.ts";
import { recordUnreadable } from "../copies/damage.ts";
import { readBack } from "./read-copy.ts";

/**
 * To be called with each error of a restore. If it suggests that the dump itself is broken, reads a copy again as `verify`
 * does, without a target. If that proves it, records it for the whole backup, raises the alerts of its copies, and
 * returns an `UnreadableDump`, which says so beside the error; otherwise returns undefined. Never throws.
 */
export async function provenUnreadable(
  context: JobContext,
  backup: BackupRecord,
  { storages, job }: { storages: readonly Storage[]; job: Job },
  error: unknown,
): Promise<UnreadableDump | undefined> {
  if (context.signal.aborted || !suggestsBrokenDump(error)) return undefined;
  const proof = await proofIn(context, backup, storages);
  if (proof === undefined) return undefined;
  await alertUnreadable(context, backup, job, proof.message);
  return brokenDump(error, proof);
}

/** The error of a restore, with the proof that the dump itself is broken. */
export function brokenDump(error: unknown, proof: UnreadableDump): UnreadableDump {
  const withProof = (text: string, proved: string) =>
    `${text}; the dump itself is broken, in every copy${text.includes(proved) ? "" : `: ${proved}`}`;
  return new UnreadableDump(
    withProof(messageOf(error), proof.message),
    error,
    hintOf(error) ?? undefined,
    withProof(outsideText(error), outsideText(proof)),
  );
}

/** The first copy that can be read decides: all have the same bytes. */
async function proofIn(
  context: JobContext,
  backup: BackupRecord,
  storages: readonly Storage[],
): Promise<UnreadableDump | undefined> {
  for (const storage of storages) {
    try {
      await readBack(context, backup, storage);
      return undefined;
    } catch (error) {
      if (context.signal.aborted) return undefined;
      if (error instanceof UnreadableDump) return error;
    }
  }
  return undefined;
}

async function alertUnreadable(
  context: JobContext,
  backup: BackupRecord,
  job: Job,
  error: string,
): Promise<void> {
  try {
    const copies = await context.catalog.copies(backup.id);
    await recordUnreadable(context, backup, error);
    for (const { storage, state } of copies)
      if (state === "CONFIRMED") await alertDamage(context, job, { ...backup, storage, error });
  } catch (failure) {
    // A catalog that cannot be written must not hide why the restore failed.
    const fields = { backup_id: backup.id, error: messageOf(failure) };
    context.log.error("that the dump of a backup is broken could not be recorded", fields);
  }
}
