import type { OthersHistory } from "../catalog.ts";
import type { HistoryCounts } from "../records.ts";
import {
  exceptionsOf,
  NEWEST_OF_JOB,
  OF_NO_OTHER,
  OF_NO_OTHERS_SERVER,
  PRUNE_DELIVERIES,
  PRUNE_RUNS,
  RECORDS_AT_ONCE,
} from "../sqlite/history.ts";
import { readableJson } from "./dialect.ts";
import type { Transaction } from "./transactions.ts";

const NEWEST_OF_EACH = `SELECT DISTINCT ON (job, outcome, schedule, host) id FROM runs
  ORDER BY job, outcome, schedule, host, started_at DESC`;
/**
 * The last alert about a dump that shrank holds the size that later dumps are compared with, and while it waits for
 * a person it guards older backups.
 */
const PRUNE_ALERTS = `DELETE FROM alerts WHERE id IN (SELECT id FROM alerts AS old
  WHERE created_at < $before AND resolved_at < $before AND ${OF_NO_OTHER} AND ${OF_NO_OTHERS_SERVER}
    AND NOT EXISTS (SELECT 1 FROM deliveries WHERE alert_id = old.id)
    AND (${readableJson("metadata")} ->> 'shrunk_at' IS NULL OR (acknowledged_at IS NOT NULL
      AND EXISTS (SELECT 1 FROM alerts WHERE key = old.key AND created_at > old.created_at)))
  ORDER BY created_at LIMIT ${RECORDS_AT_ONCE})`;

/** Removes one batch of old records from the history. */
export async function deleteOldHistory(
  { rows, run }: Transaction,
  before: string,
  except: OthersHistory | undefined,
): Promise<HistoryCounts> {
  const { hosts, servers } = exceptionsOf(except);
  const kept: string[] = [];
  for (const { job } of await rows<{ job: string }>("SELECT DISTINCT job FROM runs"))
    kept.push(...(await rows<{ id: string }>(NEWEST_OF_JOB, { job })).map(({ id }) => id));
  kept.push(...(await rows<{ id: string }>(NEWEST_OF_EACH)).map(({ id }) => id));
  return {
    runs: await run(PRUNE_RUNS, { before, hosts, kept: JSON.stringify(kept) }),
    deliveries: await run(PRUNE_DELIVERIES, { before, hosts }),
    alerts: await run(PRUNE_ALERTS, { before, hosts, servers }),
  };
}
