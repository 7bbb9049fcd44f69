import { setImmediate } from "node:timers/promises";
import { DAY_MS } from "../../base/limits.ts";
import type { Catalog } from "../../catalog/catalog.ts";
import type { BackupDay, BackupPoint } from "../../catalog/overview.ts";
import type { RestoreTestRecord } from "../../catalog/records.ts";
import type { JobContext } from "../../jobs/context.ts";
import { type ListedBackup, listBackups, listed } from "../../status/list-backups.ts";
import type { StatusReport } from "../../status/report.ts";
import { recoveryMs } from "../../status/restore-tests.ts";
import { databaseGroups } from "./order.ts";
import { PAGE_BACKUPS, type PageQuery } from "./query.ts";

/** One page of the backups, newest first. */
export interface PageHistory {
  backups: ListedBackup[];
  /** Whether the next page has older backups. */
  hasOlder: boolean;
}

/** The finished backups of each database (by `seriesKey`), oldest first. */
export type PageSeries = ReadonlyMap<string, readonly BackupPoint[]>;

/** The number of backups in a chart: more would be too close to each other to see. */
const SERIES_BACKUPS = 48;

/** After reading this many databases the event loop gets a turn. */
const READ_AT_ONCE = 8;

export function seriesKey({ server, database }: { server: string; database: string }): string {
  return `${server}/${database}`;
}

/** The backups that the page shows; reads only one page of them. Rejects as `Catalog` does. */
export async function pageHistory(
  context: Pick<JobContext, "catalog" | "clock" | "config" | "host">,
  { page, database }: PageQuery,
): Promise<PageHistory> {
  const found = await listBackups(context, {
    ...database,
    offset: (page - 1) * PAGE_BACKUPS,
    limit: PAGE_BACKUPS + 1,
  });
  return { backups: found.slice(0, PAGE_BACKUPS), hasOlder: found.length > PAGE_BACKUPS };
}

/** What a page of one database shows of its last year. */
export interface PageYear {
  days: BackupDay[];
  /** Restore tests that passed, oldest first, with the time that the recovery took. */
  recoveries: { at: string; recovery_ms: number }[];
}

export const YEAR_DAYS = 365;
/** Restore tests in the chart. */
const TESTS_MAX = 366;

/** The last year of the database that the page is about; null if it is about more. Rejects as `Catalog` does. */
export async function pageYear(
  { overview, restoreTests }: Pick<Catalog, "overview" | "restoreTests">,
  { now }: StatusReport,
  { database: about }: PageQuery,
): Promise<PageYear | null> {
  if (about === null) return null;
  const { server, database } = about;
  const since = dayBefore(now, YEAR_DAYS - 1);
  const tests = await restoreTests.list({ server, database, limit: TESTS_MAX });
  const recoveries = tests.flatMap((test) => {
    const recovery_ms = test.outcome === "PASSED" ? recoveryMs(test) : null;
    return recovery_ms === null || test.finished_at < since ? [] : [{ at: test.finished_at, recovery_ms }];
  });
  return { days: await overview.backupDays(server, database, since), recoveries: recoveries.toReversed() };
}

/** The day, in UTC, that lies this many days before a time: `2026-11-23`. */
export function dayBefore(at: string, days: number): string {
  return new Date(Date.parse(at) - days * DAY_MS).toISOString().slice(0, 10);
}

/** A backup with everything that `show` prints of it. */
export interface PageBackup {
  listed: ListedBackup;
  test: RestoreTestRecord | null;
}

/** The backup that the page is about; undefined if there is none. Rejects as `Catalog` does. */
export async function pageBackup(
  context: Pick<JobContext, "catalog" | "clock" | "config" | "host">,
  id: string,
): Promise<PageBackup | undefined> {
  if (!/^[0-9a-f-]{4,36}$/.test(id)) return undefined;
  const [backup, second] = await context.catalog.backupsByPrefix(id, 2);
  if (!backup || second) return undefined;
  const [test = null] = await context.catalog.restoreTests.list({ backup_id: backup.id, limit: 1 });
  return { listed: await listed(context, backup), test };
}

/** The points of the charts, for the databases that the page shows in full. Rejects as `Catalog` does. */
export async function pageSeries(
  { overview }: Pick<Catalog, "overview">,
  report: StatusReport,
  query: PageQuery,
): Promise<PageSeries> {
  const series = new Map<string, BackupPoint[]>();
  for (const { server, database } of databaseGroups(report, query).full) {
    // These reads never yield to the event loop, so other requests would wait for all of them.
    if (series.size % READ_AT_ONCE === 0) await setImmediate();
    const newest = await overview.recentBackups(server, database, SERIES_BACKUPS);
    series.set(seriesKey({ server, database }), newest.toReversed());
  }
  return series;
}
