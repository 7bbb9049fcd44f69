import { Pg321Error } from "../../base/errors.ts";
import { closest } from "../../base/text/suggest.ts";
import { isGlobalsPlace } from "../../catalog/globals.ts";
import { databasePattern, type NamedDatabase, namedDatabase } from "../../config/database-pattern.ts";
import type { JobContext } from "../context.ts";

type Lookup = Pick<JobContext, "catalog" | "clock" | "config">;

/** Up to this many known names are listed if none is similar to the misspelt one. */
const LISTED_MAX = 8;

interface Place {
  server: string;
  database: string;
}

/** The databases that have backups, that were seen on a server, or that the config names. */
async function knownDatabases({ catalog, clock, config }: Lookup): Promise<Place[]> {
  const named = config.server.flatMap(({ name: server, databases }) =>
    databases.flatMap((written) => {
      const { name: database } = databasePattern(written);
      return database === undefined ? [] : [{ server, database }];
    }),
  );
  return [
    ...(await catalog.overview.latestBackups(clock.now())).filter((one) => !isGlobalsPlace(one)),
    ...(await catalog.overview.databases()),
    ...named,
  ];
}

/** The servers of the config, and those that have backups although the config no longer has them. */
export async function knownServers(context: Lookup): Promise<string[]> {
  const configured = context.config.server.map(({ name }) => name);
  return [...new Set([...configured, ...(await knownDatabases(context)).map(({ server }) => server)])];
}

/** Reads `app` or `server/app` from the command line. Throws code `usage` if nobody knows such a database. */
export async function findDatabase(context: Lookup, word: string): Promise<NamedDatabase> {
  const named = namedDatabase(word, await knownServers(context));
  const known = await knownDatabases(context);
  const isMeant = ({ server, database }: Place) =>
    database === named.database && (named.server ?? server) === server;
  if (known.some(isMeant)) return named;
  throw new Pg321Error("usage", `no database "${word}" is known`, { hint: databaseHint(word, known) });
}

/** Throws code `usage` if nobody knows a server of this name. */
export async function requireServer(context: Lookup, name: string): Promise<void> {
  const known = await knownServers(context);
  if (known.includes(name)) return;
  throw new Pg321Error("usage", `no server is named "${name}"`, { hint: nameHint(name, known) });
}

/** What a misspelt name of a database may have meant. */
export function databaseHint(word: string, known: readonly Place[]): string {
  const isWhole = known.some(({ server }) => word.startsWith(`${server}/`));
  return nameHint(
    word,
    known.map(({ server, database }) => (isWhole ? `${server}/${database}` : database)),
  );
}

function nameHint(word: string, known: readonly string[]): string {
  const names = [...new Set(known)].sort();
  const suggestion = closest(word, names);
  if (suggestion !== undefined) return `did you mean ${suggestion}?`;
  if (names.length === 0) return "names are case-sensitive; nothing has been backed up yet";
  const more = names.length > LISTED_MAX ? ", …" : "";
  return `names are case-sensitive; known: ${names.slice(0, LISTED_MAX).join(", ")}${more}`;
}
