import { constants, existsSync } from "node:fs";
import { access, stat } from "node:fs/promises";
import { dirname } from "node:path";
import type { Clock } from "../../base/clock.ts";
import type { CatalogUrl } from "../../config/catalog-url.ts";
import type { CatalogConfig } from "../../config/config.ts";
import { CREATING } from "../postgres/errors.ts";
import { requireMaking } from "../postgres/rights.ts";
import { Transactions } from "../postgres/transactions.ts";
import { catalogError } from "../sqlite/errors.ts";
import { urlOf } from "./places.ts";

/** Throws what a copy would fail with that may not write its target; changes nothing. */
export async function requireRights(to: CatalogConfig, clock: Clock): Promise<void> {
  await (to.type === "postgres" ? requireRole(urlOf(to), clock) : requireDirectory(to.path));
}

async function requireRole(url: CatalogUrl, clock: Clock): Promise<void> {
  await using transactions = new Transactions(url, clock);
  await transactions.do(CREATING, (transaction) => requireMaking(transaction, transactions.login, CREATING));
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
