import { type Fence, lostLease } from "../../fence.ts";
import type { Do, Transaction } from "../transactions.ts";

/** Transactions that begin with a look at the lease; until they end nobody else can take it. */
export function fencedDo(transact: Do, fence: Fence | undefined): Do {
  if (fence === undefined) return transact;
  const { name, token } = fence;
  return (doing, work) =>
    transact(doing, async (transaction) => {
      const sql = "SELECT token FROM leases WHERE name = $name FOR SHARE";
      const [row] = await transaction.rows<{ token: number }>(sql, { name });
      if (row === undefined || Number(row.token) !== token) throw lostLease(name);
      return work(transaction);
    });
}

/** Gives a lease that was just taken the next token. */
export async function nextToken({ run }: Transaction, name: string): Promise<void> {
  await run("UPDATE leases SET token = nextval('lease_tokens') WHERE name = $name", { name });
}

export async function tokenOf(
  { rows }: Transaction,
  name: string,
  runId: string,
): Promise<number | undefined> {
  const sql = "SELECT token FROM leases WHERE name = $name AND run_id = $runId";
  const [row] = await rows<{ token: number }>(sql, { name, runId });
  return row && Number(row.token);
}
