import { globPattern } from "./glob.ts";

/** How the config names databases of one server: a plain name, `=NAME`, or a glob. */
export interface DatabasePattern {
  /** As the config has it. */
  written: string;
  /** The only name that it stands for; undefined for a glob. */
  name: string | undefined;
  matches: (database: string) => boolean;
}

/** How the config names databases of any server: as those of one, with `SERVER/` in front or without. */
export interface ServerPattern {
  written: string;
  /** Whether a database of this server may match, whatever its name. */
  isAbout: (server: string) => boolean;
  matches: (server: string, database: string) => boolean;
}

/**
 * A text is a glob where it holds `*`, `?` or `[`, and no database is ever looked at to tell: else whoever may
 * create one called `*` decides what the config means. `=` in front takes what follows as it is. Throws code
 * `usage` for a glob that is none.
 */
export function databasePattern(written: string): DatabasePattern {
  const regexp = written.startsWith("=") ? undefined : globPattern(written);
  if (regexp) return { written, name: undefined, matches: (database) => regexp.test(database) };
  const name = written.startsWith("=") ? written.slice(1) : written;
  return { written, name, matches: (database) => database === name };
}

/**
 * The first slash ends the server, whose name holds none: `main/shop`, `main/shop_*`, `main/=a*b`. Of `=a/b`, which
 * begins as a name, all is the name of a database. Throws code `usage` for a glob that is none.
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

/** A database that somebody names, of any server where none is given. */
export interface NamedDatabase {
  server: string | undefined;
  database: string;
}

/**
 * A word of the command line, where no glob is known: SERVER/DATABASE where it begins with one of these servers, so
 * that no database called `main/shop` takes the place of shop of the server main; else the name of a database.
 */
export function namedDatabase(word: string, servers: readonly string[]): NamedDatabase {
  const slash = word.indexOf("/");
  const server = slash < 0 ? undefined : servers.find((name) => name === word.slice(0, slash));
  return server === undefined ? { server, database: word } : { server, database: word.slice(slash + 1) };
}
