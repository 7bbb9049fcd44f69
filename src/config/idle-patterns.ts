import type { Config } from "./config.ts";
import { type DatabaseRules, matchesDatabase } from "./database/settings.ts";
import type { ServerPattern } from "./database-pattern.ts";
import { serverPattern } from "./database-pattern.ts";

/** A name or glob of the config that no database matches. */
export interface IdlePattern {
  /** `databases of the override "busy"`. */
  holder: string;
  /** For the key of an alert, `override busy`; unambiguous, because names in the config contain no blank. */
  key: string;
  written: string;
}

interface Known {
  server: string;
  database: string;
}

/**
 * The names and globs of overrides, notifiers and [[database]] tables that match none of these databases. A pattern that could match on a
 * server without any known database is left out: it may match later.
 */
export function idlePatterns(
  {
    server: servers,
    schedule,
    notify,
    database: tables = [],
  }: Pick<Config, "server" | "schedule" | "notify"> & DatabaseRules,
  databases: readonly Known[],
): IdlePattern[] {
  const unknown = servers.filter(({ name }) => !databases.some(({ server }) => server === name));
  const isIdle = ({ matches, isAbout }: ServerPattern) =>
    !databases.some(({ server, database }) => matches(server, database)) &&
    !unknown.some(({ name }) => isAbout(name));
  const filtered = notify.flatMap((one) => (one.type === "healthchecks" ? [] : [one]));
  const holders = [
    ...schedule.override.map(({ name, databases }) => ({ kind: "override", name, databases })),
    ...filtered.map(({ name, databases }) => ({ kind: "notifier", name, databases })),
  ];
  const idle = holders.flatMap(({ kind, name, databases: written }) =>
    written
      .map(serverPattern)
      .filter(isIdle)
      .map((pattern) => ({
        holder: `databases of the ${kind} "${name}"`,
        key: `${kind} ${name}`,
        written: pattern.written,
      })),
  );
  const idleTables = tables.filter(
    (table) =>
      !databases.some(({ server, database }) => matchesDatabase(table, server, database)) &&
      !unknown.some(({ name }) => table.server === undefined || table.server === name),
  );
  return [
    ...idle,
    ...idleTables.map((table) => ({
      holder: `name of the [[database]] table in line ${table.lines[""]}`,
      key: `database ${table.server ?? "-"}`,
      written: table.name,
    })),
  ];
}
