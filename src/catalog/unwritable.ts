import { statfsSync } from "node:fs";
import { dirname } from "node:path";
import { Pg321Error } from "../base/errors.ts";
import { KIB } from "../base/limits.ts";

/** With less free space SQLite cannot work: its -shm file (the index of the log) alone takes 32 KiB. */
const FREE_BYTES_MIN = 64 * KIB;

/** Why a catalog's file cannot be written, although it is sound and can be read. */
export type Unwritable = "full" | "read-only";

/** The disk refused a change of the catalog. */
export class CatalogUnwritableError extends Pg321Error {}

/** SQLite and the system report a full disk in several ways, one of them an input/output error. */
export function unwritableBy(path: string, code: string): Unwritable | undefined {
  if (["SQLITE_FULL", "ENOSPC", "EDQUOT"].includes(code)) return "full";
  if (code === "EROFS") return "read-only";
  return code.startsWith("SQLITE_IOERR") && isFull(dirname(path)) ? "full" : undefined;
}

function isFull(directory: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(directory);
    return bavail * bsize < FREE_BYTES_MIN;
  } catch {
    return false;
  }
}
