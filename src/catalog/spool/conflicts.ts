import { Pg321Error } from "../../base/errors.ts";
import type { Catalog } from "../catalog.ts";
import { PostgresCatalog } from "../postgres/postgres.ts";
import { recordsOf } from "../postgres/records.ts";
import type { Do, Transaction } from "../postgres/transactions.ts";
import { type BackupRecord, type CopyRecord, type CopyState, REMOVED } from "../records.ts";
import { COPIES } from "../sqlite/tables.ts";

/**
 * What a delivery does if another host has settled or removed a copy meanwhile, so that its object may be gone: the copy is
 * recorded as intended, and the next run of this host looks at the storage and confirms it or removes its remains.
 */

/** States in which another host has found or made the object gone or bad. */
const GONE: readonly CopyState[] = [...REMOVED, "DAMAGED", "MISSING"];

/** A catalog whose calls are all made in this transaction. */
export function catalogIn(transaction: Transaction, label: string): Catalog {
  const here: Do = (_, work) => work(transaction);
  return new PostgresCatalog({
    label,
    do: here,
    readAtOneMoment: here,
    snapshot: () => Promise.reject(new Error("not in a transaction")),
    async [Symbol.asyncDispose]() {},
  });
}

async function isRemoved({ rows }: Transaction, id: string): Promise<boolean> {
  return (await rows("SELECT 1 FROM tombstones WHERE backup_id = $id", { id })).length > 0;
}

function findCopy(transaction: Transaction, id: string, storage: string): Promise<CopyRecord[]> {
  return recordsOf(transaction, COPIES, "WHERE backup_id = $id AND storage = $storage", { id, storage });
}

export async function putCopy(transaction: Transaction, record: CopyRecord, label: string): Promise<void> {
  const { backup_id: id, storage, state } = record;
  const [found] = await findCopy(transaction, id, storage);
  const isGone = found !== undefined && GONE.includes(found.state);
  let made = record;
  if (state === "CONFIRMED" && (isGone || (await isRemoved(transaction, id)))) made = doubted(record);
  // Only once ours is complete does it count again.
  else if (isGone) made = { ...record, state: found.state };
  await catalogIn(transaction, label).putCopy(made);
}

export async function updateCopy(
  transaction: Transaction,
  id: string,
  storage: string,
  change: Partial<CopyRecord>,
  label: string,
): Promise<void> {
  const [found] = await findCopy(transaction, id, storage);
  const isSettled = found !== undefined && (found.state === "FAILED" || GONE.includes(found.state));
  const isDoubted = change.state === "CONFIRMED" && (isSettled || (await isRemoved(transaction, id)));
  await catalogIn(transaction, label).updateCopy(id, storage, isDoubted ? doubted(change) : change);
}

function doubted<T extends Partial<CopyRecord>>(change: T): T {
  return { ...change, state: "INTENDED", confirmed_at: null };
}

/** A backup does not count as good while all of its copies wait for the look at the storage. */
export async function updateBackup(
  transaction: Transaction,
  id: string,
  change: Partial<BackupRecord>,
  label: string,
): Promise<void> {
  const isGood = change.status === "VERIFIED" || change.status === "PARTIAL";
  const copies = isGood ? await recordsOf(transaction, COPIES, "WHERE backup_id = $id", { id }) : [];
  const has = (state: CopyState) => copies.some((copy) => copy.state === state);
  const isDoubted = has("INTENDED") && !has("CONFIRMED");
  const doubt = {
    status: "INTERRUPTED",
    error: "another host has settled it meanwhile; the next run of this host looks at its storages",
  } as const;
  await catalogIn(transaction, label).updateBackup(id, isDoubted ? { ...change, ...doubt } : change);
}

/** Throws code `usage` if the name of a storage or its id was given to another one meanwhile. */
export async function refuseOtherIdentity(
  { rows }: Transaction,
  name: string,
  storage_id: string,
): Promise<void> {
  const sql = `SELECT name, storage_id FROM storage_identities
    WHERE (name = $name AND storage_id <> $storage_id) OR (name <> $name AND storage_id = $storage_id)`;
  const [other] = await rows<{ name: string; storage_id: string }>(sql, { name, storage_id });
  if (other === undefined) return;
  throw new Pg321Error(
    "usage",
    `storage "${name}" (${storage_id}): the catalog has storage "${other.name}" (${other.storage_id}) meanwhile`,
    { hint: "each storage of a fleet needs a name of its own: rename the one of this host in its config" },
  );
}
