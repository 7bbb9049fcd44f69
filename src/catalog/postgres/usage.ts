import { believedUntil } from "../../base/newest-good.ts";
import { equalTo, whereAll } from "../sqlite/statements.ts";
import type { Row } from "../sqlite/tables.ts";
import { monthBefore } from "../sqlite/usage.ts";
import type { StoredBytes, StoredGrowth, StoredMonth, Usage, UsageFilter } from "../usage.ts";
import type { Do } from "./transactions.ts";

const STORED = `WITH
  present AS (
    SELECT server, database, storage, state, started_at,
      coalesce(copies.object_bytes, backups.object_bytes, 0) AS bytes
    FROM copies JOIN backups ON backups.id = copies.backup_id
    WHERE state IN ('CONFIRMED', 'DAMAGED', 'DELETING', 'HIDDEN')),
  sums AS (
    SELECT server, database, storage, count(*) AS copies, sum(bytes) AS bytes,
      sum(CASE WHEN state = 'HIDDEN' THEN bytes ELSE 0 END) AS hidden_bytes, min(started_at) AS oldest_started_at
    FROM present GROUP BY server, database, storage),
  newest AS (
    SELECT DISTINCT ON (server, database, storage)
      server, database, storage, started_at AS newest_started_at, bytes AS newest_bytes
    FROM present ORDER BY server, database, storage, started_at <= $until DESC, started_at DESC)
  SELECT server, database, storage, copies, bytes, hidden_bytes, oldest_started_at, newest_started_at, newest_bytes
  FROM sums JOIN newest USING (server, database, storage)`;
const LARGEST_FIRST = "sum(bytes) OVER (PARTITION BY server, database) DESC, server, database, storage";

const FIRST_MONTH = "SELECT min(month) AS month FROM stored_months";
/** The months in `$months`, each with the last record up to it: a month without a change has none of its own. */
const monthEnds = (where: string) => `WITH
  months AS (SELECT json_array_elements_text($months::text::json) COLLATE "C" AS month),
  places AS (SELECT DISTINCT server, database, storage FROM stored_months ${where}),
  ends AS (
    SELECT months.month, places.*, coalesce(record.copies, 0) AS copies, coalesce(record.bytes, 0) AS bytes
    FROM months CROSS JOIN places LEFT JOIN LATERAL (
      SELECT one.copies, one.bytes FROM stored_months AS one
      WHERE one.server = places.server AND one.database = places.database
        AND one.storage = places.storage AND one.month <= months.month
      ORDER BY one.month DESC LIMIT 1) AS record ON true)`;
const MONTHS = `SELECT month, storage, sum(copies) AS copies, sum(bytes) AS bytes FROM ends
  GROUP BY month, storage ORDER BY month, storage`;
const GROWTH = `SELECT server, database, storage, sum(CASE WHEN month = $last THEN bytes ELSE -bytes END) AS bytes
  FROM ends GROUP BY server, database, storage ORDER BY server, database, storage`;

export class PostgresUsage implements Usage {
  readonly #do: Do;

  constructor(transact: Do) {
    this.#do = transact;
  }

  stored(filter: UsageFilter, now: Date): Promise<StoredBytes[]> {
    const { where, values } = equalTo({ ...filter });
    const sql = `${STORED} ${whereAll(where)} ORDER BY ${LARGEST_FIRST}`;
    return this.#read<StoredBytes>(sql, { ...values, until: believedUntil(now).toISOString() });
  }

  async growth(filter: UsageFilter, count: number, now: Date): Promise<StoredGrowth[]> {
    const recorded = await this.#recorded(now, count + 1);
    // The current month has not ended.
    const [first, last] = [recorded[0], recorded.at(-2)];
    if (first === undefined || last === undefined || first >= last) return [];
    const rows = await this.#months<StoredBytes>(GROWTH, filter, [first, last], { last });
    const between = recorded.length - 2;
    return rows.map(({ bytes, ...place }) => ({ ...place, bytes_per_month: Math.round(bytes / between) }));
  }

  async months(filter: UsageFilter, count: number, now: Date): Promise<StoredMonth[]> {
    // One more, for the growth of the first.
    const recorded = await this.#recorded(now, count);
    const rows = await this.#months<StoredMonth>(MONTHS, filter, recorded, {});
    const first = monthBefore(now, count - 1);
    const before = new Map<string, number>();
    return rows.flatMap((row) => {
      const growth_bytes = before.has(row.storage) ? row.bytes - (before.get(row.storage) ?? 0) : null;
      before.set(row.storage, row.bytes);
      return row.month < first ? [] : [{ ...row, growth_bytes }];
    });
  }

  /** The current month and at most `past` before it, oldest first: those with a record, and those between them. */
  async #recorded(now: Date, past: number): Promise<string[]> {
    const [row] = await this.#read<{ month: string | null }>(FIRST_MONTH, {});
    const all = Array.from({ length: past + 1 }, (_, index) => monthBefore(now, past - index));
    return all.filter((month) => month >= (row?.month ?? "9999"));
  }

  #months<R>(sql: string, filter: UsageFilter, of: readonly string[], more: Row): Promise<R[]> {
    const { where, values } = equalTo({ ...filter });
    return this.#read<R>(`${monthEnds(whereAll(where))} ${sql}`, {
      ...{ ...values, ...more },
      months: JSON.stringify(of),
    });
  }

  #read<R>(sql: string, values: Row): Promise<R[]> {
    return this.#do("sum up what is stored", ({ rows }) => rows<R>(sql, values));
  }
}
