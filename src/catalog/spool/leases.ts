import { LEASE_MS } from "../../base/limits.ts";
import { isHeld } from "../lease.ts";
import { nextToken, tokenOf } from "../postgres/fleet/leases.ts";
import { recordsOf } from "../postgres/records.ts";
import type { Transaction, Transactions } from "../postgres/transactions.ts";
import type { LeaseHolder } from "../records.ts";
import { upsert } from "../sqlite/statements.ts";
import { LEASES } from "../sqlite/tables.ts";
import type { SpoolFile } from "./file.ts";

const NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms";

/**
 * Brings the leases of this host that outlived an outage into the catalog. One that another run has there by now stays
 * here: the run behind it goes on, and both make a good backup.
 */
export async function carryLeases(tools: { file: SpoolFile; transactions: Transactions }): Promise<void> {
  const { file, transactions } = tools;
  for (const lease of await file.catalog.leases()) {
    const { name, run_id } = lease;
    if (!file.carried(name, run_id)) continue;
    const token = await transactions.do("take a lease", (transaction) => carry(transaction, lease));
    await file.inTransaction("store a lease", async () => file.setCatalogToken(name, run_id, token));
  }
}

/**
 * The token of the lease in the catalog; null if another run has it, or had it meanwhile: that one may have settled what
 * ours works on, so the changes of our run are delivered with a look at that.
 */
async function carry(transaction: Transaction, lease: LeaseHolder): Promise<number | null> {
  const { name, run_id } = lease;
  await transaction.lock("lease", name);
  const [row] = await transaction.rows<{ ms: number }>(NOW);
  const now = new Date(Number(row?.ms));
  const [holder] = await recordsOf(transaction, LEASES, "WHERE name = $name", { name });
  const isOurs = holder?.run_id === run_id;
  if (holder && !isOurs && isHeld(holder, now.toISOString())) return null;
  const expires_at = new Date(now.getTime() + LEASE_MS).toISOString();
  await transaction.run(...upsert(LEASES, ["name"], { ...lease, expires_at }));
  if (!isOurs) {
    await nextToken(transaction, name);
    return null;
  }
  return (await tokenOf(transaction, name, run_id)) ?? null;
}
