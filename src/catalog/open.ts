import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import { catalogPlace, parseCatalogUrl } from "../config/catalog-url.ts";
import type { CatalogConfig, Config } from "../config/config.ts";
import type { Catalog } from "./catalog.ts";
import { examinePostgres } from "./postgres/examine.ts";
import { openPostgres } from "./postgres/postgres.ts";
import type { Own } from "./spool/knowledge.ts";
import { openSpooled } from "./spool/open.ts";
import { type CatalogFacts, examineSqlite } from "./sqlite/examine.ts";
import { refuseNewerSqlite } from "./sqlite/migration/version.ts";
import { openSqlite } from "./sqlite/sqlite.ts";

export interface CatalogTools {
  clock: Clock;
  /** Gets a line about an upgrade. */
  log?: Log;
  /** For a catalog in PostgreSQL: where its records wait while it is unreachable. Without it, calls then fail. */
  spool?: SpoolPlace;
  /** Only for `copy/`: opens an unfinished copy, too. */
  isCopying?: boolean;
}

/** The file of a host's spool, and whose records it keeps. */
export interface SpoolPlace extends Own {
  path: string;
}

/** The spool of this host, for commands that work with backups. */
export function spoolOf({
  state_dir,
  server,
  fleet,
}: Pick<Config, "state_dir" | "server" | "fleet">): SpoolPlace {
  const servers = server.map(({ name }) => name);
  return { path: join(state_dir, "spool.db"), host: fleet.host, servers };
}

/** All kinds of catalog, by the `type` of their settings. */
export const CATALOGS: {
  readonly [T in CatalogConfig["type"]]: (
    config: Extract<CatalogConfig, { type: T }>,
    tools: CatalogTools,
  ) => Promise<Catalog>;
} = {
  sqlite: ({ path }, { clock, log, isCopying }) => openSqlite(path, clock, log, isCopying),
  postgres: ({ url }, { clock, log, isCopying, spool }) =>
    spool === undefined
      ? openPostgres(url, clock, log, isCopying)
      : openSpooled(url, { ...spool, clock, log }),
};

/**
 * Opens the catalog that the config names, creates it if it does not exist, and migrates it to this program's
 * version, after keeping a copy of an older one beside it. Refuses a catalog written by a newer program with code
 * `usage`.
 */
export function openCatalog(config: CatalogConfig, tools: CatalogTools): Promise<Catalog> {
  return config.type === "sqlite" ? CATALOGS.sqlite(config, tools) : CATALOGS.postgres(config, tools);
}

/** Where a catalog is, for messages: a path, or a URL without its login. */
export function catalogText(config: CatalogConfig): string {
  if (config.type === "sqlite") return config.path;
  const url = parseCatalogUrl(config.url.reveal());
  return url === undefined ? "catalog.url" : catalogPlace(url);
}

/** Reads a catalog without creating or changing it, for this host; see `examineSqlite` and `examinePostgres`. */
export async function examineCatalog(
  config: CatalogConfig,
  { clock, host }: Pick<CatalogTools, "clock"> & Pick<Own, "host">,
): Promise<CatalogFacts | undefined> {
  return config.type === "sqlite" ? examineSqlite(config) : await examinePostgres(config.url, clock, host);
}

/** Throws code `usage` if a newer program than this one wrote the catalog; see `refuseNewerSqlite`. */
export function refuseNewerCatalog(path: string): void {
  refuseNewerSqlite({ path });
}

export { LOST_HINT } from "./sqlite/errors.ts";
