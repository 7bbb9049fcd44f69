import { setImmediate } from "node:timers/promises";
import type { Catalog } from "../../catalog/catalog.ts";
import type { BackupPoint } from "../../catalog/overview.ts";
import type { JobContext } from "../../jobs/context.ts";
import { type ListedBackup, listBackups } from "../../status/list-backups.ts";
import type { StatusReport } from "../../status/report.ts";
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
