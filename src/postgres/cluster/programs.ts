import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { Pg321Error } from "../../base/errors.ts";
import type { BinDir, PostgresBinary } from "../binaries.ts";
import { findBinaries, nearest } from "../binaries.ts";
import { installCommand } from "../packages.ts";

/** The programs of one server package. */
export interface ServerPrograms {
  initdb: string;
  postgres: string;
  version: string;
  major: number;
}

/**
 * The server package for a dump of this major version: the same one, otherwise the nearest newer, otherwise the nearest
 * older, which may refuse statements of the dump. Throws code `database` if this host has none.
 */
export async function serverProgramsFor(major: number, binDir: BinDir): Promise<ServerPrograms> {
  const found = await findServerPrograms(binDir);
  const chosen = nearest(found, major, () => true);
  if (chosen) return chosen;
  throw new Pg321Error("database", `no server package of PostgreSQL ${major} here (initdb and postgres)`, {
    hint: `${installCommand("server", major)}, or name another server in restore_test.server`,
  });
}

/** All server packages of this host, oldest first. */
export async function findServerPrograms(binDir: BinDir): Promise<(ServerPrograms & PostgresBinary)[]> {
  const found = await findBinaries("postgres", binDir);
  return found.flatMap((binary) => {
    const initdb = join(dirname(binary.path), "initdb");
    return existsSync(initdb) ? [{ ...binary, initdb, postgres: binary.path }] : [];
  });
}
