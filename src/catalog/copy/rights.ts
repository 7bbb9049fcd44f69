import { constants, existsSync } from "node:fs";
import { access, stat } from "node:fs/promises";
import { dirname } from "node:path";
import type { Clock } from "../../base/clock.ts";
import type { CatalogUrl } from "../../config/catalog-url.ts";
import type { CatalogConfig } from "../../config/config.ts";
import { loginOf, rightError } from "../postgres/errors.ts";
import { MIGRATING } from "../postgres/migration/migrate.ts";
import { Transactions } from "../postgres/transactions.ts";
import { catalogError } from "../sqlite/errors.ts";
import { urlOf } from "./places.ts";

/** Whether the role may make the schema, or tables in a schema that is there, and owns what is in it. */
const MAY_MAKE = `SELECT CASE WHEN to_regnamespace('pg321') IS NULL THEN has_database_privilege(current_database(), 'CREATE')
    ELSE has_schema_privilege('pg321', 'CREATE') AND has_schema_privilege('pg321', 'USAGE') AND NOT EXISTS (
      SELECT 1 FROM pg_class WHERE relnamespace = to_regnamespace('pg321') AND NOT pg_has_role(relowner, 'USAGE')) END AS may_make`;

/** Throws what a copy would fail with that may not write its target; changes nothing. */
export async function requireRights(to: CatalogConfig, clock: Clock): Promise<void> {
  await (to.type === "postgres" ? requireRole(urlOf(to), clock) : requireDirectory(to.path));
}

async function requireRole(url: CatalogUrl, clock: Clock): Promise<void> {
  await using transactions = new Transactions(url, clock);
  const [found] = await transactions.do(MIGRATING, ({ rows }) => rows<{ may_make: boolean }>(MAY_MAKE));
  if (found?.may_make !== true) throw rightError(loginOf(url), MIGRATING);
}

/** The file, or the directory in which it would be made, perhaps with others between them. */
async function requireDirectory(path: string): Promise<void> {
  let place = path;
  while (!existsSync(place) && dirname(place) !== place) place = dirname(place);
  try {
    const isDirectory = (await stat(place)).isDirectory();
    if (place !== path && !isDirectory) throw Object.assign(new Error(), { code: "ENOTDIR" });
    await access(place, isDirectory ? constants.W_OK | constants.X_OK : constants.W_OK);
  } catch (error) {
    throw catalogError(path, "open", error);
  }
}
