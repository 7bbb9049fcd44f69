import type { DatabaseStatus } from "../../status/report.ts";

/** Which part of the history the page shows, and how. */
export interface PageQuery {
  /** From 1. */
  page: number;
  /** Only this database; null: all of them. */
  database: Pick<DatabaseStatus, "server" | "database"> | null;
  /** After how long the browser asks again by itself, in seconds; null: never. */
  refresh_s: number | null;
}

/** Backups on one page of the history. */
export const PAGE_BACKUPS = 25;
/** The last page that is looked at: of 100,000 backups the oldest. */
const PAGE_MAX = 4000;
/** What the page's own link asks for. */
export const REFRESH_S = 60;
const REFRESH_S_MIN = 10;
const REFRESH_S_MAX = 3600;

/** What an address asks for. A value that makes no sense counts as not given: a page that shows something helps more. */
export function pageQuery(parameters: URLSearchParams): PageQuery {
  const [server, ...database] = parameters.get("database")?.split("/") ?? [];
  const hasDatabase = server !== undefined && server !== "" && database.join("") !== "";
  return {
    page: within(parameters.get("page"), 1, PAGE_MAX) ?? 1,
    database: hasDatabase ? { server, database: database.join("/") } : null,
    refresh_s: within(parameters.get("refresh"), REFRESH_S_MIN, REFRESH_S_MAX),
  };
}

/** The address of the page with this query, relative to the page. */
export function pageAddress({ page, database, refresh_s }: PageQuery): string {
  const parameters = new URLSearchParams();
  if (database !== null) parameters.set("database", `${database.server}/${database.database}`);
  if (page > 1) parameters.set("page", String(page));
  if (refresh_s !== null) parameters.set("refresh", String(refresh_s));
  return parameters.size === 0 ? "./" : `./?${parameters}`;
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
