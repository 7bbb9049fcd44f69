import type { Clock } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { Config } from "../config/config.ts";
import type { Catalog } from "./catalog.ts";
import { openSqlite } from "./sqlite/sqlite.ts";

type CatalogConfig = Config["catalog"];

export interface CatalogTools {
  clock: Clock;
  /** Told of an upgrade. */
  log?: Log;
}

/** Every catalog that there is, by the `type` of its setting. */
export const CATALOGS: {
  readonly [T in CatalogConfig["type"]]: (
    config: Extract<CatalogConfig, { type: T }>,
    tools: CatalogTools,
  ) => Promise<Catalog>;
} = {
  sqlite: ({ path }, { clock, log }) => openSqlite(path, clock, log),
};

/**
 * Opens the catalog that the config names, makes it where there is none, and migrates it to this
 * program's version; one of an older version is copied beside it first. A catalog that a newer program
 * wrote is refused with code `usage`.
 */
export function openCatalog(config: CatalogConfig, tools: CatalogTools): Promise<Catalog> {
  return CATALOGS[config.type](config, tools);
}
