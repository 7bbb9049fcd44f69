import { tellOfSelection } from "../../alerts/selection-alerts.ts";
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

/** A server that could not be asked, or that has none of what the config selects, or, with `database`, a configured database that is not there. */
export interface Untargeted {
  server: ServerConfig;
  database: string | null;
  error: unknown;
  duration_ms: number;
}

export type Selects = (server: string, database: string) => boolean;

/** Which of the configured databases are meant. */
export interface Choice {
  /** `app` or `server/app`; all of them where empty. */
  names: readonly string[];
  selects: Selects;
}

export interface Targets {
  targets: Target[];
  untargeted: Untargeted[];
  /** The servers that have told their databases. */
  listed: string[];
}

/**
 * The databases to back up, resolved now, and remembered as seen. Throws code `usage` when a name fits none.
 * A server that cannot be asked is passed over in silence when no database that it is known to have is meant.
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
        log.error("a configured database is not there", { server: server.name, database });
      }
      const isEmpty = chosen.length + missing.length === 0 && choice.names.length === 0;
      if (isEmpty && (await mayMean(context, server, choice.selects)))
        untargeted.push({ server, database: null, error: noneSelected(server, idle), duration_ms: 0 });
    } catch (error) {
      context.signal.throwIfAborted();
      const fields = { server: server.name, error: messageOf(error) };
      if (!(await mayMean(context, server, choice.selects))) {
        log.warning("the databases of a server could not be listed, and none of them is due", fields);
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
      hint: "name it as the server does (case matters), or as SERVER/DATABASE; patterns belong in the config, which pg321 check shows",
    });
  }
  await tellOfSelection(context, listed);
  return { targets, untargeted, listed: [...listed.keys()] };
}

/** Whether a database of this server may be meant, by those that it is known to have, else by those in the config. */
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

/** A server that takes a query and never answers must not hold the run for ever. */
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

/** Whether the names of the command line, if there are any, ask for a database; takes those that do from `unmatched`. */
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

/** Nobody writes a config to have nothing backed up. */
function noneSelected({ name, databases }: ServerConfig, idle: readonly string[]): Pg321Error {
  const list = idle.map((pattern) => `"${pattern}" matches none`).join(", ");
  const reason = idle.length < databases.length ? "exclude leaves none" : list;
  return new Pg321Error("database", `server "${name}": the config selects no database: ${reason}`, {
    hint: "see databases and exclude in the config; templates and databases that take no connections are not among them",
  });
}

function noDatabase(server: ServerConfig, database: string): Pg321Error {
  return new Pg321Error("database", `server "${server.name}": no database "${database}"`, {
    hint: "check databases in the config: names are case-sensitive; templates and databases that take no connections cannot be dumped",
  });
}
