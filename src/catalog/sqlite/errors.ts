import { SQLiteError } from "bun:sqlite";
import { Pg321Error } from "../../base/errors.ts";
import { CatalogUnwritableError, type Unwritable, unwritableBy } from "../unwritable.ts";

/** What to do if nothing can be read from a catalog any more. */
export const LOST_HINT =
  "move it aside, together with its -wal and -shm files; pg321 cleanup --adopt then records the backups in the storages in a new catalog";

const UNWRITABLE: Readonly<Record<Unwritable, Meaning>> = {
  full: { what: "the disk is full", hint: "free some space on its file system" },
  "read-only": {
    what: "the file system is read-only",
    hint: "check the kernel log for disk errors, or set catalog.path to a writable place",
  },
};

interface Meaning {
  what: string;
  hint: string;
  retryable?: boolean;
}

/** By the start of SQLite's code, because extended codes add to it: SQLITE_IOERR_WRITE. The first match counts. */
const MEANINGS: readonly (readonly [string, Meaning])[] = [
  [
    "SQLITE_READONLY",
    {
      what: "the file cannot be written",
      hint: "check the owner of the file and its directory, and that the file system is not read-only",
    },
  ],
  ["SQLITE_CORRUPT", { what: "the file is damaged", hint: LOST_HINT }],
  [
    "SQLITE_NOTADB",
    {
      what: "not a SQLite database",
      hint: `if it was the catalog, ${LOST_HINT}; if it never was, name another file under catalog.path`,
    },
  ],
  [
    "SQLITE_BUSY",
    {
      what: "locked by another process for too long",
      hint: "find the process that has it open with fuser",
      retryable: true,
    },
  ],
  ["SQLITE_CANTOPEN", { what: "the file cannot be opened", hint: "check its path, owner and permissions" }],
  ["SQLITE_PERM", { what: "access denied", hint: "check its owner and permissions" }],
  [
    "SQLITE_IOERR",
    { what: "the disk failed to read or write", hint: "check the kernel log for disk errors" },
  ],
];

/** Errors of `node:fs` while the file is created. */
const FILE_MEANINGS: Readonly<Record<string, Meaning>> = {
  EACCES: { what: "access denied", hint: "run as the user that owns it, or set catalog.path" },
  EPERM: { what: "access denied", hint: "run as the user that owns it, or set catalog.path" },
  ENOTDIR: { what: "a part of the path is not a directory", hint: "correct catalog.path" },
  EEXIST: { what: "a part of the path is not a directory", hint: "correct catalog.path" },
  EISDIR: { what: "it is a directory", hint: "correct catalog.path: it must name a file" },
};

export function isBusy(error: unknown): boolean {
  return error instanceof SQLiteError && (error.code?.startsWith("SQLITE_BUSY") ?? false);
}

/**
 * Turns an error thrown while `doing` something with the catalog at `path` into a `Pg321Error`; a
 * `CatalogUnwritableError` if the disk refused a change. `known`: the reason, if the catalog is known to be
 * unwritable.
 */
export function catalogError(path: string, doing: string, error: unknown, known?: Unwritable): unknown {
  if (error instanceof Pg321Error || !(error instanceof Error)) return error;
  const code = "code" in error ? String(error.code) : "";
  const unwritable = unwritableBy(path, code) ?? (code.startsWith("SQLITE_READONLY") ? known : undefined);
  const meaning =
    (unwritable && UNWRITABLE[unwritable]) ??
    FILE_MEANINGS[code] ??
    MEANINGS.find(([start]) => code.startsWith(start))?.[1];
  if (meaning === undefined && !(error instanceof SQLiteError)) return error;
  const { what, hint, retryable = false } = meaning ?? { what: error.message };
  const options = { cause: error, retryable, ...(hint === undefined ? {} : { hint }) };
  const message = `catalog ${path}: cannot ${doing}: ${what}`;
  return unwritable === undefined
    ? new Pg321Error("storage", message, options)
    : new CatalogUnwritableError("storage", message, options);
}
