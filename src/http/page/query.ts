import type { DatabaseStatus } from "../../status/report.ts";

/** The parameters of the page. */
export interface PageQuery {
  /** From 1. */
  page: number;
  /** Only this database; null for all. */
  database: Pick<DatabaseStatus, "server" | "database"> | null;
  /** Only this backup: its id, or the beginning of one; null for the page of everything. */
  backup: string | null;
  /** All hosts of the catalog, instead of this one. */
  fleet: boolean;
  /** The browser reloads the page after this many seconds; null for never. */
  refresh_s: number | null;
}

/** Backups on one page of the history. */
export const PAGE_BACKUPS = 25;
/** The last page that is served: the oldest of 100,000 backups. */
const PAGE_MAX = 4000;
/** The value in the page's own link. */
export const REFRESH_S = 60;
const REFRESH_S_MIN = 10;
const REFRESH_S_MAX = 3600;

/** Reads the parameters of an address. Invalid values are ignored: a page is more helpful than an error. */
export function pageQuery(parameters: URLSearchParams): PageQuery {
  const [server, ...database] = parameters.get("database")?.split("/") ?? [];
  const hasDatabase = server !== undefined && server !== "" && database.join("") !== "";
  return {
    page: within(parameters.get("page"), 1, PAGE_MAX) ?? 1,
    database: hasDatabase ? { server, database: database.join("/") } : null,
    backup: parameters.get("backup")?.toLowerCase().slice(0, 36) || null,
    fleet: parameters.get("fleet") === "1",
    refresh_s: within(parameters.get("refresh"), REFRESH_S_MIN, REFRESH_S_MAX),
  };
}

/** The address of the page with this query, relative to the page. */
export function pageAddress({ page, database, backup, fleet, refresh_s }: PageQuery): string {
  const parameters = new URLSearchParams();
  if (fleet) parameters.set("fleet", "1");
  if (database !== null) parameters.set("database", `${database.server}/${database.database}`);
  if (backup !== null) parameters.set("backup", backup);
  if (page > 1) parameters.set("page", String(page));
  if (refresh_s !== null) parameters.set("refresh", String(refresh_s));
  return parameters.size === 0 ? "./" : `./?${parameters}`;
}

/** The address of the page of one backup. */
export function backupAddress({ refresh_s }: PageQuery, backup: string): string {
  return pageAddress({ page: 1, database: null, backup, fleet: false, refresh_s });
}

export function isSameDatabase(
  left: Pick<DatabaseStatus, "server" | "database">,
  right: Pick<DatabaseStatus, "server" | "database">,
): boolean {
  return left.server === right.server && left.database === right.database;
}

function within(text: string | null, min: number, max: number): number | null {
  if (text === null || !/^\d{1,9}$/.test(text)) return null;
  const number = Number(text);
  return number >= min && number <= max ? number : null;
}
