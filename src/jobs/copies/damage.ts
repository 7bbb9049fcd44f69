import { alertDamage } from "../../alerts/copy-alerts.ts";
import { messageOf, Pg321Error } from "../../base/errors.ts";
import type { BackupRecord, CopyRecord, CopyState } from "../../catalog/records.ts";
import type { Job } from "../../config/config.ts";
import type { Storage } from "../../storage/storage.ts";
import type { JobContext } from "../context.ts";
import { isInPlace } from "../in-place.ts";
import { settleStatus } from "./backup-status.ts";

/** States of copies worth checking: not those that never existed or were removed on purpose. */
export const LOOKED_FOR: readonly CopyState[] = ["CONFIRMED", "DAMAGED", "MISSING"];

/**
 * What an error says about the copy that was read. `unreachable`: the storage did not answer or is not the expected
 * one, so nothing is known; `unopened`: a problem with the keys of this host. Any other error is thrown again.
 */
export async function copyVerdict(
  context: Pick<JobContext, "catalog" | "log">,
  error: unknown,
  backup: Pick<BackupRecord, "object_key">,
  storage: Storage,
  signal: AbortSignal,
): Promise<"damaged" | "missing" | "unreachable" | "unopened"> {
  if (!(error instanceof Pg321Error)) throw error;
  if (error.code === "verification") return "damaged";
  if (error.code === "key") return "unopened";
  if (error.code !== "storage") throw error;
  try {
    if (await storage.head(backup.object_key, signal)) return "unreachable";
    return (await isInPlace(context, storage, signal)) ? "missing" : "unreachable";
  } catch {
    return "unreachable";
  }
}

/**
 * Records the result of a check, unless another run has since removed the copy or is making it again: reading takes
 * long, and no lease is held. Returns whether the copy is still one to check.
 */
export async function recordLook(
  { catalog }: Pick<JobContext, "catalog">,
  backup: Pick<BackupRecord, "id">,
  { name }: Pick<Storage, "name">,
  found: Partial<CopyRecord>,
): Promise<boolean> {
  const copy = (await catalog.copies(backup.id)).find(({ storage }) => storage === name);
  if (!copy || !LOOKED_FOR.includes(copy.state)) return false;
  if (found.state === undefined) return true;
  await catalog.updateCopy(backup.id, name, found);
  await settleStatus({ catalog }, backup);
  return true;
}

export type DamageContext = Pick<
  JobContext,
  "catalog" | "clock" | "config" | "host" | "installation" | "log" | "signal"
>;

/**
 * Handles a copy that a job could not read: if it is damaged or missing, this is recorded and an alert is raised. Other
 * reasons (no answer, no key) are not damage. Throws only if the job is stopped.
 */
export async function recordDamage(
  context: DamageContext,
  backup: BackupRecord,
  storage: Storage,
  error: unknown,
  job: Job = "repair",
): Promise<void> {
  // Do not ask a storage again that has just failed to answer: a restore would have to wait for it.
  if (error instanceof Pg321Error && error.code === "storage" && error.retryable) return;
  try {
    const verdict = await copyVerdict(context, error, backup, storage, context.signal);
    if (verdict !== "damaged" && verdict !== "missing") return;
    const state = verdict === "damaged" ? "DAMAGED" : "MISSING";
    const found = { state, error: messageOf(error) } as const;
    if (!(await recordLook(context, backup, storage, found))) return;
    await alertDamage(context, job, { ...backup, storage: storage.name, error: found.error });
  } catch (failure) {
    context.signal.throwIfAborted();
    // Continue: a catalog that cannot be written must not keep a restore from trying its next copy.
    const fields = { storage: storage.name, backup_id: backup.id, error: messageOf(failure) };
    context.log.error("the damage of a copy could not be recorded", fields);
  }
}

/**
 * Records that the dump in a backup cannot be read, although its bytes are those that were written. All its copies have
 * the same bytes, so none of them is good any more, and repair leaves them alone.
 */
export async function recordUnreadable(
  { catalog }: Pick<JobContext, "catalog">,
  { id }: Pick<BackupRecord, "id">,
  unreadable: string,
): Promise<void> {
  await catalog.updateBackup(id, { unreadable });
  for (const { storage, state } of await catalog.copies(id))
    if (state === "CONFIRMED") await catalog.updateCopy(id, storage, { state: "DAMAGED", error: unreadable });
  await settleStatus({ catalog }, { id });
  await catalog.updateBackup(id, { error: unreadable });
}
