import type { Clock } from "../base/clock.ts";
import type { Config } from "../config/config.ts";
import type { Catalog } from "./catalog.ts";
import { openSqlite } from "./sqlite.ts";

type CatalogConfig = Config["catalog"];

/** Every catalog that there is, by the `type` of its setting. */
export const CATALOGS: {
  readonly [T in CatalogConfig["type"]]: (
    config: Extract<CatalogConfig, { type: T }>,
    clock: Clock,
  ) => Promise<Catalog>;
} = {
  sqlite: ({ path }, clock) => openSqlite(path, clock),
};

/**
 * Opens the catalog that the config names, makes it where there is none, and migrates it to this
 * program's version. A catalog that a newer program wrote is refused with code `usage`.
 */
export function openCatalog(config: CatalogConfig, { clock }: { clock: Clock }): Promise<Catalog> {
  return CATALOGS[config.type](config, clock);
}
