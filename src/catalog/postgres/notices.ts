import type { NoticeTotals } from "../overview.ts";
import { given, noticesOf } from "../sqlite/statements.ts";
import type { Row } from "../sqlite/tables.ts";
import type { Transaction } from "./transactions.ts";

const OF_NOTIFIER = "FROM deliveries WHERE notifier = $notifier AND state =";
/** The index on state and notifier holds the rows of each in the order in which they were inserted. */
const WAITING = `SELECT count(*) AS waiting, min(created_at) AS waiting_since ${OF_NOTIFIER} 'PENDING'`;
const WHY_WAITING = `SELECT error ${OF_NOTIFIER} 'PENDING' AND error IS NOT NULL ORDER BY position LIMIT 1`;
const LAST_DELIVERED = `SELECT position, finished_at ${OF_NOTIFIER} 'DELIVERED' ORDER BY position DESC LIMIT 1`;
const GIVEN_UP = `SELECT count(*) AS given_up ${OF_NOTIFIER} 'FAILED' AND position > $after`;
const WHY_GIVEN_UP = `SELECT error ${OF_NOTIFIER} 'FAILED' AND position > $after ORDER BY position DESC LIMIT 1`;

/** See `Overview.noticeTotals`. */
export async function noticeTotals(
  { rows }: Transaction,
  notifier: string,
  host?: string,
): Promise<NoticeTotals> {
  const of = { notifier, ...given(host) };
  const row = async (sql: string, values: Row = {}) =>
    (await rows(noticesOf(sql, host), { ...of, ...values }))[0];
  const text = (value: Row[string] | undefined) =>
    value === null || value === undefined ? null : String(value);
  const waiting = await row(WAITING);
  const delivered = await row(LAST_DELIVERED);
  const after = delivered?.["position"] ?? 0;
  return {
    waiting: Number(waiting?.["waiting"]),
    waiting_since: text(waiting?.["waiting_since"]),
    given_up: Number((await row(GIVEN_UP, { after }))?.["given_up"]),
    error: text(((await row(WHY_WAITING)) ?? (await row(WHY_GIVEN_UP, { after })))?.["error"]),
    last_delivered_at: text(delivered?.["finished_at"]),
  };
}
