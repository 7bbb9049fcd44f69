import type { Database } from "bun:sqlite";
import { Pg321Error } from "../../../base/errors.ts";
import { APPLICATION_ID } from "./first-migrations.ts";
import { MIGRATIONS } from "./migrations.ts";
import { unfinishedCopy, unfinishedError } from "./unfinished.ts";

export interface MigrateOptions {
  migrations?: readonly string[];
  /** Whether it may be an unfinished copy of another catalog. */
  isCopying?: boolean;
  /**
   * Copies a catalog of that version, called while we hold its write lock; if it throws nothing is migrated. The
   * returned function is called afterwards with whether the catalog was migrated.
   */
  keepCopy?: (version: number) => (isMigrated: boolean) => void;
  /** The copy that a program can go back to if it knows no newer version than this; for a hint. */
  copyFor?: (knownVersion: number) => string | undefined;
}

/**
 * Brings a catalog to the newest version, one transaction for each step: a step that fails leaves the version
 * before it. Copies an older catalog before the first step. Safe if several processes open a new or old catalog at
 * once.
 */
export function migrate(
  database: Database,
  path: string,
  { migrations = MIGRATIONS, isCopying = false, keepCopy, copyFor }: MigrateOptions = {},
): void {
  refuseForeign(database, path);
  const unfinished = isCopying ? undefined : unfinishedCopy(database);
  if (unfinished) throw unfinishedError(`catalog ${path}`, unfinished);
  const foundAtFirst = pragma(database, "user_version");
  for (const [version, sql] of migrations.entries()) {
    if (pragma(database, "user_version") > version) continue;
    let finish: ((isMigrated: boolean) => void) | undefined;
    let isMigrated = false;
    const step = database.transaction(() => {
      // Another process may have made this step while we waited for the lock.
      if (pragma(database, "user_version") !== version) return;
      // If the version has changed since the first look, the process that changed it has made the copy.
      if (version > 0 && version === foundAtFirst) finish = keepCopy?.(version);
      database.run(sql);
      database.run(`PRAGMA user_version = ${version + 1}`);
    });
    try {
      step.immediate();
      isMigrated = true;
    } finally {
      finish?.(isMigrated);
    }
  }
  const found = pragma(database, "user_version");
  if (found > migrations.length) {
    throw new Pg321Error(
      "usage",
      `catalog ${path}: written by a newer pg321 (version ${found}, this program knows ${migrations.length})`,
      { hint: wayBack(path, copyFor?.(migrations.length)) },
    );
  }
}

function wayBack(path: string, copy: string | undefined): string {
  if (copy === undefined) return "run the newer pg321, or name another file under catalog.path";
  return (
    `run the newer pg321; or go back to the copy from before the upgrade: stop the service, move ${path}, ` +
    `${path}-wal and ${path}-shm away, copy ${copy} to ${path}, and record the later backups again with ` +
    "pg321 cleanup --adopt"
  );
}

/** Throws code `usage` for a database of another program. */
export function refuseForeign(database: Database, path: string): void {
  if (pragma(database, "application_id") === APPLICATION_ID) return;
  const empty = database.query("SELECT 1 FROM sqlite_schema LIMIT 1").get() === null;
  // A process that creates the catalog right now commits its tables together with the id.
  if (empty || pragma(database, "application_id") === APPLICATION_ID) return;
  throw new Pg321Error("usage", `catalog ${path}: a SQLite database of another program`, {
    hint: "name another file under catalog.path",
  });
}

export function pragma(database: Database, name: "user_version" | "application_id"): number {
  const row = database.query<Record<string, number>, []>(`PRAGMA ${name}`).get();
  return row?.[name] ?? 0;
}
