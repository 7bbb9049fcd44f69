import { alertSelection } from "../../alerts/selection-alerts.ts";
import { unlessLate } from "../../base/abort.ts";
import { messageOf, Pg321Error } from "../../base/errors.ts";
import type { ServerConfig } from "../../config/config.ts";
import { databasePattern, namedDatabase } from "../../config/database-pattern.ts";
import { connect, endpointOf } from "../../postgres/connection.ts";
import type { DatabaseChoice } from "../../postgres/inspect.ts";
import { chooseDatabases, listDatabases } from "../../postgres/inspect.ts";
import type { JobContext } from "../context.ts";
import { warnOfSharedDevice } from "./shared-device.ts";

export interface Target {
  server: ServerConfig;
  database: string;
}

/**
 * A server that could not be asked or has no selected database, or, with `database`, a configured database that does
 * not exist.
 */
export interface Untargeted {
  server: ServerConfig;
  database: string | null;
  error: unknown;
  duration_ms: number;
}

export type Selects = (server: string, database: string) => boolean;

/** The configured databases to back up. */
export interface Choice {
  /** `app` or `server/app`; all databases if empty. */
  names: readonly string[];
  selects: Selects;
}

export interface Targets {
  targets: Target[];
  untargeted: Untargeted[];
  /** The servers whose databases could be listed. */
  listed: string[];
}

/**
 * Finds the databases to back up and records that they were seen. Throws code `usage` if a name matches none. A server
 * that cannot be asked is no failure if none of its known databases is selected.
 */
export async function resolveTargets(
  context: JobContext,
  servers: readonly ServerConfig[],
  choice: Choice,
): Promise<Targets> {
  const targets: Target[] = [];
  const listed = new Map<string, readonly string[]>();
  const untargeted: Untargeted[] = [];
  const unmatched = new Set(choice.names);
  const { clock, log } = context;
  for (const server of servers) {
    const startedAtMs = clock.monotonicMs();
    try {
      const { chosen, missing, idle } = await answered(context, server, databasesOf(context, server));
      listed.set(server.name, idle);
      const isMeant = (database: string) =>
        choice.selects(server.name, database) &&
        isAskedFor(context, server, database, choice.names, unmatched);
      for (const database of chosen.filter(isMeant)) targets.push({ server, database });
      for (const database of missing.filter(isMeant)) {
        untargeted.push({ server, database, error: noDatabase(server, database), duration_ms: 0 });
        log.error("a configured database does not exist", { server: server.name, database });
      }
      const isEmpty = chosen.length + missing.length === 0 && choice.names.length === 0;
      if (isEmpty && (await mayMean(context, server, choice.selects)))
        untargeted.push({ server, database: null, error: noneSelected(server, idle), duration_ms: 0 });
    } catch (error) {
      context.signal.throwIfAborted();
      const fields = { server: server.name, error: messageOf(error) };
      if (!(await mayMean(context, server, choice.selects))) {
        log.warning("the databases of a server could not be listed, but none of them is due", fields);
        continue;
      }
      const duration_ms = Math.round(clock.monotonicMs() - startedAtMs);
      untargeted.push({ server, database: null, error, duration_ms });
      log.error("the databases of a server could not be listed", fields);
    }
  }
  if (unmatched.size > 0 && untargeted.length === 0) {
    const list = [...unmatched].map((name) => `"${name}"`).join(", ");
    throw new Pg321Error("usage", `no configured database is named ${list}`, {
      hint: "use the exact name (names are case-sensitive), or SERVER/DATABASE; patterns can be used only in the config, see pg321 check",
    });
  }
  await alertSelection(context, listed);
  return { targets, untargeted, listed: [...listed.keys()] };
}

/** Whether a database of this server may be selected: judged by its known databases, or else by those in the config. */
export async function mayMean(
  { catalog }: Pick<JobContext, "catalog">,
  server: ServerConfig,
  selects: Selects,
): Promise<boolean> {
  const isMeant = (database: string) => selects(server.name, database);
  const known = (await catalog.overview.databases()).filter(
    (database) => database.server === server.name && database.gone_at === null,
  );
  if (known.length > 0) return known.some(({ database }) => isMeant(database));
  return server.databases.map(databasePattern).some(({ name }) => name === undefined || isMeant(name));
}

/** Limits the wait for a server that takes a query but never answers. */
function answered<T>(context: JobContext, { name }: ServerConfig, answer: Promise<T>): Promise<T> {
  const { clock, signal, config } = context;
  const durationMs = config.dump.stall_timeout_ms;
  return unlessLate(
    answer,
    { clock, signal, durationMs },
    () =>
      new Pg321Error("database", `server "${name}": no answer for ${durationMs / 1000} s`, {
        hint: "check the server and the network to it, or raise dump.stall_timeout",
        retryable: true,
      }),
  );
}

async function databasesOf(context: JobContext, server: ServerConfig): Promise<DatabaseChoice> {
  await using connection = await connect(endpointOf(server));
  await warnOfSharedDevice(context, server.name, connection);
  const choice = chooseDatabases(await listDatabases(connection), server);
  await context.catalog.overview.seeDatabases(server.name, choice.chosen, context.clock.now().toISOString());
  return choice;
}

/** Whether the command line names a database, or names none at all; removes the matching names from `unmatched`. */
function isAskedFor(
  { config }: JobContext,
  server: ServerConfig,
  database: string,
  names: readonly string[],
  unmatched: Set<string>,
): boolean {
  const servers = config.server.map(({ name }) => name);
  const matching = names.filter((name) => {
    const named = namedDatabase(name, servers);
    return named.database === database && (named.server ?? server.name) === server.name;
  });
  for (const name of matching) unmatched.delete(name);
  return names.length === 0 || matching.length > 0;
}

/** The error for a server without a selected database, which is certainly a mistake. */
function noneSelected({ name, databases }: ServerConfig, idle: readonly string[]): Pg321Error {
  const list = idle.map((pattern) => `"${pattern}" matches none`).join(", ");
  const reason = idle.length < databases.length ? "exclude leaves none" : list;
  return new Pg321Error("database", `server "${name}": the config selects no database: ${reason}`, {
    hint: "check databases and exclude in the config; templates and databases that allow no connections are never selected",
  });
}

function noDatabase(server: ServerConfig, database: string): Pg321Error {
  return new Pg321Error("database", `server "${server.name}": no database "${database}"`, {
    hint: "check databases in the config: names are case-sensitive; templates and databases that allow no connections cannot be dumped",
  });
}
