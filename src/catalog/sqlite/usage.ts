import type { Database } from "bun:sqlite";
import { believedUntil } from "../../base/newest-good.ts";
import type { StoredBytes, StoredGrowth, StoredMonth, Usage, UsageFilter } from "../usage.ts";
import type { Do } from "./busy.ts";
import { equalTo, whereAll } from "./statements.ts";
import type { Row } from "./tables.ts";

/** The bare column `newest_bytes` is that of the row with the maximum: https://sqlite.org/lang_select.html#bareagg */
const STORED = `WITH
  present AS (
    SELECT server, database, storage, state, started_at,
      ifnull(copies.object_bytes, ifnull(backups.object_bytes, 0)) AS bytes
    FROM copies JOIN backups ON backups.id = copies.backup_id
    WHERE state IN ('CONFIRMED', 'DAMAGED', 'DELETING', 'HIDDEN')),
  sums AS (
    SELECT server, database, storage, count(*) AS copies, sum(bytes) AS bytes,
      sum(iif(state = 'HIDDEN', bytes, 0)) AS hidden_bytes, min(started_at) AS oldest_started_at
    FROM present GROUP BY server, database, storage),
  newest AS (
    SELECT server, database, storage, started_at AS newest_started_at, bytes AS newest_bytes,
      max(iif(started_at <= $until, '1', '0') || started_at) AS rank
    FROM present GROUP BY server, database, storage)
  SELECT server, database, storage, copies, bytes, hidden_bytes, oldest_started_at, newest_started_at, newest_bytes
  FROM sums JOIN newest USING (server, database, storage)`;
const LARGEST_FIRST = "sum(bytes) OVER (PARTITION BY server, database) DESC, server, database, storage";

const FIRST_MONTH = "SELECT min(month) AS month FROM stored_months";
/** The months in `$months`, each with the last record up to it: a month without a change has none of its own. */
const monthEnds = (where: string) => `WITH
  months AS (SELECT value AS month FROM json_each($months)),
  places AS (SELECT DISTINCT server, database, storage FROM stored_months ${where}),
  latest AS (
    SELECT months.month, places.*, (
      SELECT one.rowid FROM stored_months AS one
      WHERE one.server = places.server AND one.database = places.database
        AND one.storage = places.storage AND one.month <= months.month
      ORDER BY one.month DESC LIMIT 1) AS record
    FROM months, places),
  ends AS (
    SELECT latest.*, ifnull(stored_months.copies, 0) AS copies, ifnull(stored_months.bytes, 0) AS bytes
    FROM latest LEFT JOIN stored_months ON stored_months.rowid = latest.record)`;
const MONTHS = `SELECT month, storage, sum(copies) AS copies, sum(bytes) AS bytes FROM ends
  GROUP BY month, storage ORDER BY month, storage`;
const GROWTH = `SELECT server, database, storage, sum(CASE WHEN month = $last THEN bytes ELSE -bytes END) AS bytes
  FROM ends GROUP BY server, database, storage ORDER BY server, database, storage`;

/** What one database says in its own words. */
interface UsageStatements {
  /** Columns of `StoredBytes` of all places, by `$until`; ends before WHERE. */
  stored: string;
  /** A WITH clause of `ends`, as `monthEnds` of SQLite. */
  monthEnds: (where: string) => string;
}

type Read = <R>(sql: string, values: Row) => Promise<R[]>;

export const SUMMING = "sum up what is stored";

/** The sums that both kinds of catalog keep. */
export class RecordedUsage implements Usage {
  readonly #statements: UsageStatements;
  readonly #read: Read;

  constructor(statements: UsageStatements, read: Read) {
    this.#statements = statements;
    this.#read = read;
  }

  stored(filter: UsageFilter, now: Date): Promise<StoredBytes[]> {
    const { where, values } = equalTo({ ...filter });
    const sql = `${this.#statements.stored} ${whereAll(where)} ORDER BY ${LARGEST_FIRST}`;
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
    return this.#read<R>(`${this.#statements.monthEnds(whereAll(where))} ${sql}`, {
      ...{ ...values, ...more },
      months: JSON.stringify(of),
    });
  }
}

export function sqliteUsage(database: Database, whileBusy: Do): Usage {
  return new RecordedUsage({ stored: STORED, monthEnds }, <R>(sql: string, values: Row) =>
    whileBusy(SUMMING, () => database.query<Row, Row>(sql).all(values) as unknown as R[]),
  );
}

/** The month so many before that of `now`: `2026-11`. */
export function monthBefore(now: Date, months: number): string {
  return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - months, 1)).toISOString().slice(0, 7);
}
