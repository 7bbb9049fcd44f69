import { Database } from "bun:sqlite";
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  lstatSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { messageOf } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import { catalogError } from "../errors.ts";
import { APPLICATION_ID } from "./first-migrations.ts";
import type { MigrateOptions } from "./migrate.ts";

/** Number of copies kept from before upgrades; older ones are deleted. */
const COPIES_KEPT = 3;

/** How `migrate` makes copies of the catalog at `path`, and finds them again. */
export function copiesBesideIt(path: string, log?: Log): MigrateOptions {
  return {
    keepCopy: (version) => copyBeforeUpgrade(path, version, log),
    copyFor: (known) => catalogCopies(path).find(({ version }) => version <= known)?.path,
  };
}

/** A copy of a catalog from before a newer program migrated it. */
interface CatalogCopy {
  path: string;
  /** The version of its schema. */
  version: number;
}

/**
 * Copies the catalog at `path`, whose schema has `version`, to `PATH.version-N` beside it (mode 0600; whole and on
 * disk or not at all; never over another file). The caller holds the write lock, so the copy is consistent and no
 * other process copies. Throws code `storage`. The returned function removes the copy again after an upgrade that
 * failed, because that is tried again at each start, and after one that succeeded the oldest copies beyond three.
 */
function copyBeforeUpgrade(
  path: string,
  version: number,
  log: Log | undefined,
): (isMigrated: boolean) => void {
  const copy = freeName(`${path}.version-${version}`);
  const temporary = `${path}.version-${version}.tmp`;
  try {
    // A killed process may have left one.
    rmSync(temporary, { force: true });
    closeSync(openSync(temporary, "wx", 0o600));
    using database = new Database(path, { readonly: true, strict: true });
    database.query("VACUUM INTO $file").run({ file: temporary });
    sync(temporary);
    linkSync(temporary, copy);
    sync(dirname(path));
  } catch (error) {
    throw catalogError(path, `copy it to ${copy} before its upgrade`, error);
  } finally {
    rmSync(temporary, { force: true });
  }
  log?.info("catalog copied before its upgrade", { path, version, copy });
  return (isMigrated) => {
    tidy(path, log, isMigrated ? undefined : copy);
  };
}

/** The copies from before upgrades, newest first. */
function catalogCopies(path: string): CatalogCopy[] {
  const start = `${basename(path)}.version-`;
  return readdirSync(dirname(path))
    .filter((name) => name.startsWith(start) && /^\d+(-\d+)?$/.test(name.slice(start.length)))
    .flatMap((name) => {
      const copy = join(dirname(path), name);
      const version = Number.parseInt(name.slice(start.length), 10);
      const stats = lstatSync(copy);
      return stats.isFile() && isCatalogOf(copy, version) ? { path: copy, version, at: stats.mtimeMs } : [];
    })
    .sort((a, b) => b.at - a.at || b.version - a.version)
    .map(({ path: copy, version }) => ({ path: copy, version }));
}

/** Another file may have such a name: SQLite's header shows that it is a catalog of this version. */
function isCatalogOf(path: string, version: number): boolean {
  const header = new DataView(new ArrayBuffer(100));
  const file = openSync(path, "r");
  try {
    readSync(file, header);
  } finally {
    closeSync(file);
  }
  const [userVersion, applicationId] = [header.getUint32(60), header.getUint32(68)];
  return userVersion === version && applicationId === APPLICATION_ID;
}

/** After going back and upgrading again there already is a copy of that version, from another time. */
function freeName(wanted: string): string {
  let name = wanted;
  for (let number = 2; existsSync(name); number++) name = `${wanted}-${number}`;
  return name;
}

/** Never throws, so that it neither fails an upgrade that succeeded nor hides the error of one that failed. */
function tidy(path: string, log: Log | undefined, needless: string | undefined): void {
  try {
    const oldest = catalogCopies(path).slice(COPIES_KEPT);
    for (const copy of needless === undefined ? oldest.map((one) => one.path) : [needless]) rmSync(copy);
  } catch (error) {
    log?.warning("an old copy of the catalog could not be removed", { path, error: messageOf(error) });
  }
}

function sync(path: string): void {
  const file = openSync(path, "r");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
