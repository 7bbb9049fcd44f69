import { existsSync, readdirSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { Pg321Error } from "../base/errors.ts";
import { globPattern } from "../config/glob.ts";
import { ChildError, runChild } from "../stream/process.ts";
import { CLEAN_ENVIRONMENT } from "./libpq.ts";
import { installCommand } from "./packages.ts";

export interface PostgresBinary {
  path: string;
  /** As the program prints it: `15.14`, `17beta1`. */
  version: string;
  major: number;
}

/** A pg_restore for a given target. */
export interface PgRestore extends PostgresBinary {
  /** It sends `SET transaction_timeout`, which the target does not know, so it needs a relay. */
  needsRelay: boolean;
}

/** The only directory to search, or directories to search besides the usual ones. */
export type BinDir = string | readonly string[] | undefined;

export type ProgramName = "pg_dump" | "pg_dumpall" | "pg_restore" | "postgres";

/** Debian, Red Hat (PostgreSQL's own packages), SUSE, Alpine, Homebrew. */
const SEARCHED_DIRS = [
  "/usr/lib/postgresql/*/bin",
  "/usr/pgsql-*/bin",
  "/usr/lib/postgresql[1-9]*/bin",
].concat(
  ["/usr/libexec/postgresql[1-9]*", "/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin"],
  ["/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin"],
);
/** From this version on pg_restore sends `SET transaction_timeout`, which older servers refuse. */
const TRANSACTION_TIMEOUT_MAJOR = 17;

/** The pg_dump for a server: of its major version, otherwise the nearest newer one (an older one refuses). */
export async function pgDumpFor(serverMajor: number, binDir: BinDir): Promise<PostgresBinary> {
  return dumpProgramFor("pg_dump", serverMajor, binDir);
}

/** The pg_dumpall for a server, chosen in the same way. */
export async function pgDumpallFor(serverMajor: number, binDir: BinDir): Promise<PostgresBinary> {
  return dumpProgramFor("pg_dumpall", serverMajor, binDir);
}

async function dumpProgramFor(
  name: ProgramName,
  serverMajor: number,
  binDir: BinDir,
): Promise<PostgresBinary> {
  const found = await findBinaries(name, binDir);
  return (
    nearest(found, serverMajor, (major) => major >= serverMajor) ??
    refuse(`no ${name} for PostgreSQL ${serverMajor}`, found, serverMajor)
  );
}

/**
 * The pg_restore for an archive and a target: it must read the archive's format and be as near to the target's
 * version as possible. For a target older than 17 it is of 17 or newer only if no older one reads the archive.
 */
export async function pgRestoreFor(
  targetMajor: number,
  archiveFormat: string,
  binDir: BinDir,
): Promise<PgRestore> {
  const found = await findBinaries("pg_restore", binDir);
  const needed = firstMajorReading(archiveFormat);
  const readers = found.filter(({ major }) => major >= needed);
  const needsRelay = (major: number) =>
    major >= TRANSACTION_TIMEOUT_MAJOR && targetMajor < TRANSACTION_TIMEOUT_MAJOR;
  const chosen =
    nearest(readers, targetMajor, (major) => !needsRelay(major)) ?? nearest(readers, targetMajor, () => true);
  if (chosen) return { ...chosen, needsRelay: needsRelay(chosen.major) };
  return refuse(
    `no pg_restore that reads archive format ${archiveFormat}`,
    found,
    Math.max(needed, targetMajor),
  );
}

/**
 * A pg_restore that certainly reads what a pg_dump of this major version wrote: it reads the format, and is not older than
 * that pg_dump. Throws code `database` if there is none.
 */
export async function pgRestoreToRead(
  archiveFormat: string,
  dumpMajor: number,
  binDir: BinDir,
): Promise<PostgresBinary> {
  const found = await findBinaries("pg_restore", binDir);
  const needed = Math.max(firstMajorReading(archiveFormat), dumpMajor);
  return (
    nearest(found, needed, (major) => major >= needed) ??
    refuse(`no pg_restore of PostgreSQL ${needed} or newer`, found, needed)
  );
}

/**
 * Archive format 1.14 came with PostgreSQL 12, 1.15 with 16, 1.16 with 17. For an unknown newer format the newest
 * is tried.
 */
function firstMajorReading(archiveFormat: string): number {
  const minor = Number(archiveFormat.split(".")[1]);
  if (minor >= 16) return 17;
  if (minor === 15) return 16;
  return minor === 14 ? 12 : 10;
}

/** Of the usable ones: the wanted major version, otherwise the nearest newer, otherwise the nearest older. */
export function nearest<T extends PostgresBinary>(
  found: readonly T[],
  wanted: number,
  isUsable: (major: number) => boolean,
): T | undefined {
  const distance = (major: number) => (major >= wanted ? major - wanted : 1000 + wanted - major);
  return found
    .filter(({ major }) => isUsable(major))
    .sort((a, b) => distance(a.major) - distance(b.major))[0];
}

function refuse(problem: string, found: readonly PostgresBinary[], major: number): never {
  const seen = found.length === 0 ? "none found" : `found ${found.map(({ version }) => version).join(", ")}`;
  throw new Pg321Error("database", `${problem} (${seen})`, {
    hint: `${installCommand("client", major)}, or set bin_dir of the server`,
  });
}

/**
 * All programs that run, oldest first: from `binDir` alone if that is a single directory, otherwise from the usual
 * directories and PATH.
 */
export async function findBinaries(name: ProgramName, binDir: BinDir): Promise<PostgresBinary[]> {
  const onPath = Bun.which(name);
  const isAlone = typeof binDir === "string";
  const dirs = isAlone ? [binDir] : [...SEARCHED_DIRS, ...(binDir ?? [])];
  const inDirs = dirs.flatMap((dir) => pathsOf(join(dir, name)));
  const paths = isAlone || !onPath ? inDirs : [...inDirs, onPath];
  // Debian's /usr/bin/pg_dump is a wrapper that picks a version itself.
  const programs = new Set(
    paths.map((path) => realpathSync(path)).filter((path) => !path.endsWith("pg_wrapper")),
  );
  const found = await Promise.all([...programs].map(versionOf));
  return found.filter((binary) => binary !== undefined).sort((a, b) => a.major - b.major);
}

/** The existing paths for a path with `*` in it. Bun's glob does not follow directories that are symbolic links. */
function pathsOf(pattern: string): string[] {
  let paths = ["/"];
  for (const segment of pattern.split("/").slice(1)) {
    const isWanted = segment.includes("*") ? globPattern(segment) : undefined;
    paths = paths.flatMap((path) => {
      const names = isWanted ? namesIn(path).filter((name) => isWanted.test(name)) : [segment];
      return names.map((name) => join(path, name));
    });
  }
  return paths.filter((path) => existsSync(path));
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

const versions = new Map<string, Promise<PostgresBinary | undefined>>();

/** Runs the program once for each state of its file, because a package may be upgraded while the daemon runs. */
function versionOf(path: string): Promise<PostgresBinary | undefined> {
  const { mtimeMs, size } = statSync(path);
  const key = `${path} ${mtimeMs} ${size}`;
  const known = versions.get(key) ?? askVersion(path);
  versions.set(key, known);
  return known;
}

async function askVersion(path: string): Promise<PostgresBinary | undefined> {
  try {
    const { stdout } = await runChild({ argv: [path, "--version"], env: { ...CLEAN_ENVIRONMENT } });
    const version = stdout.match(/\(PostgreSQL\) ((\d+)\S*)/);
    return version ? { path, version: String(version[1]), major: Number(version[2]) } : undefined;
  } catch (error) {
    if (error instanceof ChildError) return undefined;
    throw error;
  }
}
