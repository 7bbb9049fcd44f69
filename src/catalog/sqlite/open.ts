import { Database } from "bun:sqlite";
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { Pg321Error } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { type Unwritable, unwritableBy } from "../unwritable.ts";
import { BUSY_TIMEOUT_MS } from "./busy.ts";
import { openConnection } from "./connection.ts";
import { isBusy, LOST_HINT } from "./errors.ts";
import { migrate } from "./migration/migrate.ts";

export interface OpenedDatabase {
  database: Database;
  /** Why it can only be read; undefined if it can be written. */
  unwritable: Unwritable | undefined;
}

/**
 * Opens the catalog at `path`, creates it (0600, in a directory of 0700) if it does not exist, and migrates it,
 * after copying it if it is of an older version. If its disk is full or read-only, its contents are read into
 * memory instead.
 */
export function openDatabase(path: string, log: Log | undefined, isCopying = false): OpenedDatabase {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    if (!existsSync(path)) make(path);
    refuseEmpty(path);
    // SQLite would open a file that it cannot write read-only, and fail later.
    closeSync(openSync(path, "r+"));
    return { database: openConnection(path, log, isCopying), unwritable: undefined };
  } catch (error) {
    const unwritable =
      error instanceof Error && "code" in error ? unwritableBy(path, String(error.code)) : undefined;
    if (unwritable === undefined || !existsSync(path)) throw error;
    const database = snapshotOf(path);
    log?.warning("the catalog was opened read-only", { path, disk: unwritable });
    return { database, unwritable };
  }
}

/**
 * A new catalog appears under its name whole or not at all, so an empty file is never a catalog in the making. If
 * another process creates it first, that one's file is used.
 */
function make(path: string): void {
  using database = new Database(":memory:", { strict: true });
  migrate(database, path);
  const temporary = `${path}.${process.pid}.new`;
  rmSync(temporary, { force: true });
  try {
    const file = openSync(temporary, "wx", 0o600);
    try {
      writeSync(file, database.serialize());
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    try {
      linkSync(temporary, path);
    } catch (error) {
      if (!existsSync(path)) throw error;
    }
  } finally {
    rmSync(temporary, { force: true });
  }
}

/** An emptied file must not pass for a new catalog: the file system may have lost its contents. */
export function refuseEmpty(path: string): void {
  const stats = statSync(path);
  if (!stats.isFile() || stats.size > 0) return;
  throw new Pg321Error("storage", `catalog ${path}: the file is empty, so it is not a catalog`, {
    hint: LOST_HINT,
  });
}

/** The catalog's contents as of now, read-only in memory. */
function snapshotOf(path: string): Database {
  const bytes = bytesOf(path);
  // Bytes 18 and 19 of the header set to 1 mean no write-ahead log, which a database in memory cannot have.
  bytes.fill(1, 18, 20);
  const database = Database.deserialize(bytes, { strict: true });
  try {
    migrate(database, path);
    database.run("PRAGMA query_only = ON");
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

function bytesOf(path: string): Buffer {
  try {
    using database = new Database(path, { readwrite: true, create: false, strict: true });
    database.run(`PRAGMA busy_timeout = ${BUSY_TIMEOUT_MS}`);
    // In this mode SQLite keeps the index of the log in memory, as the disk has no room for it. No other process
    // has the catalog open, or that index would exist already.
    database.run("PRAGMA locking_mode = EXCLUSIVE");
    return database.serialize();
  } catch (error) {
    // On a read-only disk SQLite cannot create an empty log; without one the file holds everything.
    if (isBusy(error) || (statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0) throw error;
    return readFileSync(path);
  }
}
