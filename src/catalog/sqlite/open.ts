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
import { migrate } from "./migrate.ts";

export interface OpenedDatabase {
  database: Database;
  /** Why it can only be read; undefined where it can be written. */
  unwritable: Unwritable | undefined;
}

/**
 * Opens the catalog at `path`, makes it (0600, in a directory of 0700) where it does not exist, and migrates it, an
 * older one after it was copied. Where its disk is full or read-only, what it holds is read into memory instead.
 */
export function openDatabase(path: string, log: Log | undefined): OpenedDatabase {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    if (!existsSync(path)) make(path);
    refuseEmpty(path);
    // SQLite would open what it may not write for reading only, and fail later.
    closeSync(openSync(path, "r+"));
    return { database: openConnection(path, log), unwritable: undefined };
  } catch (error) {
    const unwritable =
      error instanceof Error && "code" in error ? unwritableBy(path, String(error.code)) : undefined;
    if (unwritable === undefined || !existsSync(path)) throw error;
    const database = snapshotOf(path);
    log?.warning("the catalog can only be read", { path, disk: unwritable });
    return { database, unwritable };
  }
}

/**
 * A new catalog appears under its name whole or not at all: so an empty file there is never one that is being made.
 * Another process may be faster; then it is that one's.
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

/** A catalog that the file system has lost must not be taken for one that was never there. */
export function refuseEmpty(path: string): void {
  const stats = statSync(path);
  if (!stats.isFile() || stats.size > 0) return;
  throw new Pg321Error("storage", `catalog ${path}: the file is empty, which no catalog is`, {
    hint: LOST_HINT,
  });
}

/** What the catalog holds now, in memory; nothing of it can be changed. */
function snapshotOf(path: string): Database {
  const bytes = bytesOf(path);
  // The version of reading and writing: in memory there is no write-ahead log.
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
    // Then SQLite keeps the index of the log in memory, for which the disk has no room. No other has it open, or
    // there would be that index.
    database.run("PRAGMA locking_mode = EXCLUSIVE");
    return database.serialize();
  } catch (error) {
    // On a read-only disk an empty log cannot be made; all that there is, is in the file then.
    if (isBusy(error) || (statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0) throw error;
    return readFileSync(path);
  }
}
