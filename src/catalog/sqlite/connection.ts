import { Database } from "bun:sqlite";
import type { Log } from "../../base/log.ts";
import { BUSY_TIMEOUT_MS } from "./busy.ts";
import { migrate } from "./migration/migrate.ts";
import { copiesBesideIt } from "./migration/upgrade-copy.ts";

/**
 * Opens a catalog's file for writing and migrates it, after copying it if it is of an older version. `isCopying`: it may
 * be an unfinished copy. Throws SQLite's errors.
 */
export function openConnection(path: string, log: Log | undefined, isCopying = false): Database {
  const database = new Database(path, { readwrite: true, create: false, strict: true });
  try {
    database.run(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
    database.run("PRAGMA journal_mode = WAL");
    database.run("PRAGMA synchronous = FULL");
    database.run("PRAGMA foreign_keys = ON");
    migrate(database, path, { ...copiesBesideIt(path, log), isCopying });
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}
