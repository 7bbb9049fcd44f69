import { globPattern } from "./glob.ts";

/** A pattern for the databases of one server: a plain name, `=NAME`, or a glob. */
export interface DatabasePattern {
  /** The pattern as written in the config. */
  written: string;
  /** The only name that it matches; undefined for a glob. */
  name: string | undefined;
  matches: (database: string) => boolean;
}

/** A pattern for the databases of all servers: a `DatabasePattern`, with or without `SERVER/` in front. */
export interface ServerPattern {
  written: string;
  /** Whether some database of this server could match. */
  isAbout: (server: string) => boolean;
  matches: (server: string, database: string) => boolean;
}

/**
 * A text with `*`, `?` or `[` is a glob. The existing databases do not matter for that: otherwise anybody who may
 * create a database called `*` could change what the config means. After a leading `=` the rest is a plain name.
 * Throws code `usage` for an invalid glob.
 */
export function databasePattern(written: string): DatabasePattern {
  const regexp = written.startsWith("=") ? undefined : globPattern(written);
  if (regexp) return { written, name: undefined, matches: (database) => regexp.test(database) };
  const name = written.startsWith("=") ? written.slice(1) : written;
  return { written, name, matches: (database) => database === name };
}

/**
 * The first slash ends the name of the server, which cannot contain one: `main/shop`, `main/shop_*`, `main/=a*b`. In
 * `=a/b`, with a leading `=`, `a/b` is the name of a database. Throws code `usage` for an invalid glob.
 */
export function serverPattern(written: string): ServerPattern {
  const slash = written.startsWith("=") ? -1 : written.indexOf("/");
  const server = slash < 0 ? undefined : databasePattern(written.slice(0, slash));
  const database = databasePattern(written.slice(slash + 1));
  const isAbout = (name: string) => server?.matches(name) ?? true;
  return {
    written,
    isAbout,
    matches: (name, databaseName) => isAbout(name) && database.matches(databaseName),
  };
}

/** A database named by a user; of any server if `server` is undefined. */
export interface NamedDatabase {
  server: string | undefined;
  database: string;
}

/**
 * Reads a database on the command line (globs are not supported there): SERVER/DATABASE if it begins with one of these
 * servers, otherwise a plain database name. So a database called `main/shop` cannot pose as database `shop` of server
 * `main`.
 */
export function namedDatabase(word: string, servers: readonly string[]): NamedDatabase {
  const slash = word.indexOf("/");
  const server = slash < 0 ? undefined : servers.find((name) => name === word.slice(0, slash));
  return server === undefined ? { server, database: word } : { server, database: word.slice(slash + 1) };
}
