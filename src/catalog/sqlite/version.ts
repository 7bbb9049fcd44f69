import { Database } from "bun:sqlite";
import { statSync } from "node:fs";
import { messageOf, Pg321Error } from "../../base/errors.ts";
import type { Config } from "../../config/config.ts";
import { copiesBesideIt } from "./copy.ts";
import { migrate } from "./migrate.ts";
import { MIGRATIONS } from "./migrations.ts";

/**
 * Throws code `usage`, with the way back, when a catalog needs a newer program than this one; code `storage`
 * when it cannot be read. The catalog is neither made nor changed. As root, too: SQLite gives what it makes
 * beside a catalog to the catalog's owner.
 */
export function refuseNewerCatalog({ path }: Config["catalog"]): void {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats) return;
  // A pipe in its place would be waited for, by root too.
  if (!stats.isFile()) throw new Pg321Error("storage", `catalog ${path}: not a file`);
  try {
    using database = new Database(path, { readonly: true });
    const found = database.query<{ user_version: number }, []>("PRAGMA user_version").get();
    // Of a newer one there is nothing to migrate: it is refused.
    if (found && found.user_version > MIGRATIONS.length) migrate(database, path, copiesBesideIt(path));
  } catch (cause) {
    if (cause instanceof Pg321Error) throw cause;
    throw new Pg321Error("storage", `catalog ${path}: ${messageOf(cause)}`, { cause });
  }
}
