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
  /** Whether a page after this one has older ones. */
  hasOlder: boolean;
}

/** By `seriesKey`: the ended backups of a database, oldest first. */
export type PageSeries = ReadonlyMap<string, readonly BackupPoint[]>;

/** As many as a picture of a few fingers' width can tell apart. */
const SERIES_BACKUPS = 48;

/** Databases that are read in one turn. */
const READ_AT_ONCE = 8;

export function seriesKey({ server, database }: { server: string; database: string }): string {
  return `${server}/${database}`;
}

/** What the page shows of the history: reads no more than one page. Errors as those of `Catalog`. */
export async function pageHistory(
  context: Pick<JobContext, "catalog" | "clock" | "host">,
  { page, database }: PageQuery,
): Promise<PageHistory> {
  const found = await listBackups(context, {
    ...database,
    offset: (page - 1) * PAGE_BACKUPS,
    limit: PAGE_BACKUPS + 1,
  });
  return { backups: found.slice(0, PAGE_BACKUPS), hasOlder: found.length > PAGE_BACKUPS };
}

/** What the pictures of the databases that the page shows in full are drawn from. Errors as those of `Catalog`. */
export async function pageSeries(
  { overview }: Pick<Catalog, "overview">,
  report: StatusReport,
  query: PageQuery,
): Promise<PageSeries> {
  const series = new Map<string, BackupPoint[]>();
  for (const { server, database } of databaseGroups(report, query).full) {
    // None of these reads waits for anything, and others shall have their turn.
    if (series.size % READ_AT_ONCE === 0) await setImmediate();
    const newest = await overview.recentBackups(server, database, SERIES_BACKUPS);
    series.set(seriesKey({ server, database }), newest.toReversed());
  }
  return series;
}
