import { Database } from "bun:sqlite";
import { statSync } from "node:fs";
import { messageOf, Pg321Error } from "../../../base/errors.ts";
import { migrate } from "./migrate.ts";
import { MIGRATIONS } from "./migrations.ts";
import { copiesBesideIt } from "./upgrade-copy.ts";

/**
 * Throws code `usage`, with a hint how to go back, if a catalog needs a newer program; code `storage` if it cannot
 * be read. Neither creates nor changes the catalog. Safe as root: SQLite gives the files that it creates beside a
 * catalog to the catalog's owner.
 */
export function refuseNewerSqlite({ path }: { path: string }): void {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats) return;
  // Opening a pipe would wait for ever, even as root.
  if (!stats.isFile()) throw new Pg321Error("storage", `catalog ${path}: not a regular file`);
  try {
    using database = new Database(path, { readonly: true });
    const found = database.query<{ user_version: number }, []>("PRAGMA user_version").get();
    // `migrate` refuses a newer catalog before it changes anything.
    if (found && found.user_version > MIGRATIONS.length) migrate(database, path, copiesBesideIt(path));
  } catch (cause) {
    if (cause instanceof Pg321Error) throw cause;
    throw new Pg321Error("storage", `catalog ${path}: ${messageOf(cause)}`, { cause });
  }
}
