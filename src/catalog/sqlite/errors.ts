import { SQLiteError } from "bun:sqlite";
import { Pg321Error } from "../../base/errors.ts";
import { CatalogUnwritableError, type Unwritable, unwritableBy } from "../unwritable.ts";

/** What to do about a catalog of which nothing can be read any more. */
export const LOST_HINT =
  "move it aside, with the -wal and -shm beside it; pg321 cleanup --adopt takes what the storages hold into a new one";

const UNWRITABLE: Readonly<Record<Unwritable, Meaning>> = {
  full: { what: "the disk is full", hint: "free some space on its file system" },
  "read-only": {
    what: "the file system is read-only",
    hint: "see the kernel's log for errors of the disk, or set catalog.path to a place that can be written",
  },
};

interface Meaning {
  what: string;
  hint: string;
  retryable?: boolean;
}

/** By the start of SQLite's code, as extended codes add to it: SQLITE_IOERR_WRITE. The first that fits counts. */
const MEANINGS: readonly (readonly [string, Meaning])[] = [
  [
    "SQLITE_READONLY",
    {
      what: "it cannot be written",
      hint: "check the file's and its directory's owner, and that the file system is not read-only",
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
      hint: "see who has it open with fuser",
      retryable: true,
    },
  ],
  ["SQLITE_CANTOPEN", { what: "it cannot be opened", hint: "check its path, owner and permissions" }],
  ["SQLITE_PERM", { what: "access denied", hint: "check its owner and permissions" }],
  [
    "SQLITE_IOERR",
    { what: "the disk failed to read or write", hint: "look for disk errors in the kernel's log" },
  ],
];

/** Errors of `node:fs`, met while the file is created. */
const FILE_MEANINGS: Readonly<Record<string, Meaning>> = {
  EACCES: { what: "access denied", hint: "run as the user that owns it, or set catalog.path" },
  EPERM: { what: "access denied", hint: "run as the user that owns it, or set catalog.path" },
  ENOTDIR: { what: "a part of the path is not a directory", hint: "correct catalog.path" },
  EEXIST: { what: "a part of the path is not a directory", hint: "correct catalog.path" },
  EISDIR: { what: "it is a directory", hint: "correct catalog.path: it names a file" },
};

export function isBusy(error: unknown): boolean {
  return error instanceof SQLiteError && (error.code?.startsWith("SQLITE_BUSY") ?? false);
}

/**
 * What was thrown while `doing` something on the catalog at `path`, as the error that callers know: a
 * `CatalogUnwritableError` where the disk took no change. `known`: that it takes none.
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
  const message = `catalog ${path}: ${doing}: ${what}`;
  return unwritable === undefined
    ? new Pg321Error("storage", message, options)
    : new CatalogUnwritableError("storage", message, options);
}
