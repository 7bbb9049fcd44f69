import { Pg321Error } from "../base/errors.ts";
import { closest } from "../base/text/suggest.ts";
import type { Catalog } from "../catalog/catalog.ts";
import { GLOBALS_DATABASE, serverOfGlobals } from "../catalog/globals.ts";
import type { Config } from "../config/config.ts";
import { namedDatabase } from "../config/database-pattern.ts";
import { findDatabase, knownServers, requireServer } from "../jobs/copies/find-database.ts";
import type { Arguments, Option } from "./command.ts";
import { textOption } from "./command.ts";

/** The options that name a database or a server. */
export const PLACE_OPTIONS: Record<string, Option> = {
  database: {
    type: "string",
    short: "d",
    value: "NAME",
    help: "only backups of this database: NAME, or SERVER/NAME; 'SERVER (globals)' for the globals of a server",
    values: { live: ["database"] },
  },
  server: {
    type: "string",
    short: "s",
    value: "NAME",
    help: "only backups of this server",
    values: { live: ["server"] },
  },
};

export function namesIn(args: Arguments): Names {
  return { database: textOption(args, "database"), server: textOption(args, "server") };
}

/** What `-d` and `-s` say. */
export interface Names {
  database: string | undefined;
  server: string | undefined;
}

type Lookup = Parameters<typeof findDatabase>[0];

/** The database and server in `-d` and `-s`; `-d` may name both. */
export async function placeOf(command: string, { database: word, server: of }: Names, lookup: Lookup) {
  const named = word === undefined ? undefined : await placeNamed(word, lookup);
  const server = of ?? named?.server;
  if (named?.server !== undefined && server !== named.server)
    throw new Pg321Error(
      "usage",
      `${command}: --database is of server "${named.server}", but --server is "${server}"`,
      {
        hint: "leave out --server",
      },
    );
  return { ...(named && { database: named.database }), ...(server !== undefined && { server }) };
}

async function placeNamed(word: string, lookup: Lookup) {
  const globalsOf = serverOfGlobals(word);
  if (globalsOf !== undefined) {
    const globals = { server: globalsOf, database: GLOBALS_DATABASE };
    if ((await lookup.catalog.backups({ ...globals, limit: 1 })).length > 0) return globals;
  }
  return namedDatabase(word, await knownServers(lookup));
}

/** Throws code `usage` for a database or server that nobody knows: it is misspelt. */
export async function refuseUnknown({ database, server }: Names, lookup: Lookup): Promise<void> {
  if (server !== undefined) await requireServer(lookup, server);
  if (database !== undefined) await findDatabase(lookup, database);
}

/** Throws code `usage` for a host that has no record in the catalog and made no backup in it. */
export async function refuseUnknownHost(host: string, config: Config, catalog: Catalog): Promise<void> {
  const known = [config.fleet.host, ...(await catalog.hosts.all()).map((one) => one.host)];
  if (known.includes(host) || (await catalog.backups({ host, limit: 1 })).length > 0) return;
  const similar = closest(host, known);
  throw new Pg321Error("usage", `no host is named "${host}"`, {
    hint: similar === undefined ? `known: ${[...new Set(known)].join(", ")}` : `did you mean ${similar}?`,
  });
}

/** Throws code `usage` for a storage that neither the config nor the catalog knows. */
export async function refuseUnknownStorage(name: string, config: Config, catalog: Catalog): Promise<void> {
  const configured = config.storage.map((storage) => storage.name);
  const known = [...configured, ...(await catalog.overview.storages()).map((storage) => storage.name)];
  if (known.includes(name)) return;
  const similar = closest(name, known);
  throw new Pg321Error("usage", `no storage is named "${name}"`, {
    hint: similar === undefined ? `known: ${[...new Set(known)].join(", ")}` : `did you mean ${similar}?`,
  });
}
