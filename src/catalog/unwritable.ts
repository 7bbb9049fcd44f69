import { statfsSync } from "node:fs";
import { dirname } from "node:path";
import { Pg321Error } from "../base/errors.ts";
import { KIB } from "../base/limits.ts";

/** With less than this SQLite can do nothing: its index of the log alone takes 32 KiB. */
const FREE_BYTES_MIN = 64 * KIB;

/** Why the file of a catalog takes no change; all else is well with it, and it can be read. */
export type Unwritable = "full" | "read-only";

/** A change of the catalog that its disk did not take. */
export class CatalogUnwritableError extends Pg321Error {}

/** SQLite and the system tell a full disk in many ways, an input/output error among them. */
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
