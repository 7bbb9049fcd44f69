import type { Clock } from "../../base/clock.ts";
import { Pg321Error } from "../../base/errors.ts";
import { type CatalogUrl, parseCatalogUrl } from "../../config/catalog-url.ts";
import type { CatalogConfig } from "../../config/config.ts";
import type { CopyTarget, ReadablePlace } from "./place.ts";
import { fillPostgres, readPostgres } from "./postgres-place.ts";
import { fillSqlite, readSqlite } from "./sqlite-place.ts";

/** Opens a catalog to read it; undefined if there is none. Neither creates nor changes it. */
export function readPlace(config: CatalogConfig, clock: Clock): Promise<ReadablePlace | undefined> {
  return config.type === "sqlite" ? readSqlite(config.path, clock) : readPostgres(urlOf(config), clock);
}

/** Opens a catalog, which exists, to fill it. */
export function fillPlace(config: CatalogConfig, clock: Clock): Promise<CopyTarget> {
  return config.type === "sqlite" ? fillSqlite(config.path, clock) : fillPostgres(urlOf(config), clock);
}

export function urlOf(config: Extract<CatalogConfig, { type: "postgres" }>): CatalogUrl {
  const url = parseCatalogUrl(config.url.reveal());
  if (url) return url;
  throw new Pg321Error("usage", "catalog.url: not the URL of a PostgreSQL database");
}
