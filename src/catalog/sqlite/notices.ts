import type { Database } from "bun:sqlite";
import type { NoticeTotals } from "../overview.ts";
import { given, noticesOf } from "./statements.ts";
import type { Row } from "./tables.ts";

const OF_NOTIFIER = "FROM deliveries WHERE notifier = $notifier AND state =";
/** The index on state and notifier holds the rows of each in the order in which they were inserted. */
const WAITING = `SELECT count(*) AS waiting, min(created_at) AS waiting_since ${OF_NOTIFIER} 'PENDING'`;
const WHY_WAITING = `SELECT error ${OF_NOTIFIER} 'PENDING' AND error IS NOT NULL ORDER BY rowid LIMIT 1`;
const LAST_DELIVERED = `SELECT rowid, finished_at ${OF_NOTIFIER} 'DELIVERED' ORDER BY rowid DESC LIMIT 1`;
const GIVEN_UP = `SELECT count(*) AS given_up ${OF_NOTIFIER} 'FAILED' AND rowid > $after`;
const WHY_GIVEN_UP = `SELECT error ${OF_NOTIFIER} 'FAILED' AND rowid > $after ORDER BY rowid DESC LIMIT 1`;

/** See `Overview.noticeTotals`. */
export function noticeTotals(database: Database, notifier: string, host?: string): NoticeTotals {
  const of = { notifier, ...given(host) };
  const row = (sql: string, values: Row = {}) =>
    database.query<Row, Row>(noticesOf(sql, host)).get({ ...of, ...values }) ?? undefined;
  const text = (value: Row[string] | undefined) =>
    value === null || value === undefined ? null : String(value);
  const waiting = row(WAITING);
  const delivered = row(LAST_DELIVERED);
  const after = delivered?.["rowid"] ?? 0;
  return {
    waiting: Number(waiting?.["waiting"]),
    waiting_since: text(waiting?.["waiting_since"]),
    given_up: Number(row(GIVEN_UP, { after })?.["given_up"]),
    error: text((row(WHY_WAITING) ?? row(WHY_GIVEN_UP, { after }))?.["error"]),
    last_delivered_at: text(delivered?.["finished_at"]),
  };
}
