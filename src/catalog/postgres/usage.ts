import type { Row } from "../sqlite/tables.ts";
import { RecordedUsage, SUMMING } from "../sqlite/usage.ts";
import type { Usage } from "../usage.ts";
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

export function postgresUsage(transact: Do): Usage {
  return new RecordedUsage({ stored: STORED, monthEnds }, <R>(sql: string, values: Row) =>
    transact(SUMMING, ({ rows }) => rows<R>(sql, values)),
  );
}
