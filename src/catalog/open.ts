import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { Config } from "../config/config.ts";
import type { Catalog } from "./catalog.ts";
import { type CatalogFacts, examineSqlite } from "./sqlite/examine.ts";
import { refuseNewerSqlite } from "./sqlite/migration/version.ts";
import { openSqlite } from "./sqlite/sqlite.ts";

type CatalogConfig = Config["catalog"];

export interface CatalogTools {
  clock: Clock;
  /** Gets a line about an upgrade. */
  log?: Log;
}

/** All kinds of catalog, by the `type` of their settings. */
export const CATALOGS: {
  readonly [T in CatalogConfig["type"]]: (
    config: Extract<CatalogConfig, { type: T }>,
    tools: CatalogTools,
  ) => Promise<Catalog>;
} = {
  sqlite: ({ path }, { clock, log }) => openSqlite(path, clock, log),
};

/**
 * Opens the catalog that the config names, creates it if it does not exist, and migrates it to this program's
 * version, after keeping a copy of an older one beside it. Refuses a catalog written by a newer program with code
 * `usage`.
 */
export function openCatalog(config: CatalogConfig, tools: CatalogTools): Promise<Catalog> {
  return CATALOGS[config.type](config, tools);
}

/** Reads a catalog without creating or changing it; see `examineSqlite`. */
export function examineCatalog(config: CatalogConfig): CatalogFacts | undefined {
  return examineSqlite(config);
}

/** Throws code `usage` if a newer program than this one wrote the catalog; see `refuseNewerSqlite`. */
export function refuseNewerCatalog(config: CatalogConfig): void {
  refuseNewerSqlite(config);
}

export { LOST_HINT } from "./sqlite/errors.ts";
