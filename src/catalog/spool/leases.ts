import type { Clock } from "../../base/clock.ts";
import { LEASE_MS } from "../../base/limits.ts";
import { isHeld } from "../lease.ts";
import { nextToken, tokenOf } from "../postgres/fleet/leases.ts";
import { recordsOf } from "../postgres/records.ts";
import type { Transaction, Transactions } from "../postgres/transactions.ts";
import type { LeaseHolder } from "../records.ts";
import { upsert } from "../sqlite/statements.ts";
import { LEASES } from "../sqlite/tables.ts";
import type { CarriedLease, SpoolFile } from "./file.ts";

const NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms";

/**
 * Brings the leases that this process took or renewed during an outage into the catalog. One that another run has there
 * by now stays here: the run behind it goes on, and both make a good backup. A process carries only its own, so that
 * nobody renews the lease of a run that was killed.
 */
export async function carryLeases(tools: {
  file: SpoolFile;
  transactions: Transactions;
  clock: Clock;
}): Promise<void> {
  const { file, transactions, clock } = tools;
  await file.dropDeadLeases((lease) => isHeld(lease, clock.now().toISOString()));
  for (const lease of await file.catalog.leases()) {
    const { name, run_id } = lease;
    const carried = file.carried(name, run_id);
    if (!carried || !file.isCarriedHere(lease)) continue;
    const token = await transactions.do("take a lease", (transaction) => carry(transaction, lease, carried));
    await file.inTransaction("store a lease", async () => file.setCatalogToken(name, run_id, token));
  }
}

/**
 * The token of the lease in the catalog; undefined if it is not the one that our run took there: another run has the
 * lease, or may have had it meanwhile. That one may have settled what ours works on, so the changes of our run are
 * delivered with a look at that.
 */
async function carry(
  transaction: Transaction,
  lease: LeaseHolder,
  { token }: CarriedLease,
): Promise<number | undefined> {
  const { name, run_id } = lease;
  await transaction.lock("lease", name);
  const [row] = await transaction.rows<{ ms: number }>(NOW);
  const now = new Date(Number(row?.ms));
  const [holder] = await recordsOf(transaction, LEASES, "WHERE name = $name", { name });
  const isOurs = holder?.run_id === run_id;
  if (holder && !isOurs && isHeld(holder, now.toISOString())) return undefined;
  const expires_at = new Date(now.getTime() + LEASE_MS).toISOString();
  await transaction.run(...upsert(LEASES, ["name"], { ...lease, expires_at }));
  if (!isOurs) await nextToken(transaction, name);
  const found = await tokenOf(transaction, name, run_id);
  // Also if this was done before and its answer was lost.
  return isOurs && found === token ? token : undefined;
}
