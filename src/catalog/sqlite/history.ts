import type { Database } from "bun:sqlite";
import type { OthersHistory } from "../catalog.ts";
import type { HistoryCounts } from "../records.ts";
import type { Row } from "./tables.ts";

/** Records of one kind that one transaction removes, because other writers wait for it. */
export const RECORDS_AT_ONCE = 1_000;
/** The newest runs of each job are kept whatever their age: the clock is judged by them. */
const RUNS_KEPT = 100;

/** Of a host, and about a server, that are not another host's. */
export const OF_NO_OTHER = "coalesce(host, '') NOT IN (SELECT value FROM json_each($hosts))";
export const OF_NO_OTHERS_SERVER = "coalesce(server, '') NOT IN (SELECT value FROM json_each($servers))";

export const NEWEST_OF_JOB: string = `SELECT id FROM runs WHERE job = $job ORDER BY started_at DESC, id DESC LIMIT ${RUNS_KEPT}`;
/** With `max()` the other columns come from the row of the maximum. */
const NEWEST_OF_EACH = "SELECT id, max(started_at) FROM runs GROUP BY job, outcome, schedule, host";
export const PRUNE_RUNS: string = `DELETE FROM runs WHERE id IN (SELECT id FROM runs
  WHERE started_at < $before AND finished_at < $before AND ${OF_NO_OTHER} AND id NOT IN (SELECT value FROM json_each($kept))
  ORDER BY started_at LIMIT ${RECORDS_AT_ONCE})`;
export const PRUNE_DELIVERIES: string = `DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries
  WHERE state <> 'PENDING' AND finished_at < $before AND ${OF_NO_OTHER} LIMIT ${RECORDS_AT_ONCE})`;
/**
 * The last alert about a dump that shrank holds the size that later dumps are compared with, and while it waits for
 * a person it guards older backups.
 */
const PRUNE_ALERTS = `DELETE FROM alerts WHERE id IN (SELECT id FROM alerts AS old
  WHERE created_at < $before AND resolved_at < $before AND ${OF_NO_OTHER} AND ${OF_NO_OTHERS_SERVER}
    AND NOT EXISTS (SELECT 1 FROM deliveries WHERE alert_id = old.id)
    AND (json_extract(metadata, '$.shrunk_at') IS NULL OR (acknowledged_at IS NOT NULL
      AND EXISTS (SELECT 1 FROM alerts WHERE key = old.key AND created_at > old.created_at)))
  ORDER BY created_at LIMIT ${RECORDS_AT_ONCE})`;

/** Removes one batch of old records from the history, in one transaction. */
export function deleteOldHistory(
  database: Database,
  before: string,
  except: OthersHistory | undefined,
): HistoryCounts {
  const { hosts, servers } = exceptionsOf(except);
  const run = (sql: string, values: Row) => database.query<never, Row>(sql).run(values).changes;
  const rows = (sql: string, values: Row) => database.query<Row, Row>(sql).all(values);
  const prune = database.transaction(() => {
    const kept = [
      ...rows("SELECT DISTINCT job FROM runs", {}).flatMap(({ job = null }) => rows(NEWEST_OF_JOB, { job })),
      ...rows(NEWEST_OF_EACH, {}),
    ].map(({ id }) => id);
    return {
      runs: run(PRUNE_RUNS, { before, hosts, kept: JSON.stringify(kept) }),
      deliveries: run(PRUNE_DELIVERIES, { before, hosts }),
      alerts: run(PRUNE_ALERTS, { before, hosts, servers }),
    };
  });
  return prune.immediate();
}

export function pruningTombstones(
  removedBefore: string,
  except: OthersHistory | undefined,
): [sql: string, values: Row] {
  const sql = `DELETE FROM tombstones WHERE removed_at < $removedBefore AND ${OF_NO_OTHERS_SERVER}`;
  return [sql, { removedBefore, servers: exceptionsOf(except).servers }];
}

/** As values of a statement. */
export function exceptionsOf({ hosts, servers }: OthersHistory = { hosts: [], servers: [] }) {
  return { hosts: JSON.stringify(hosts), servers: JSON.stringify(servers) };
}
