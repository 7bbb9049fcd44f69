import { alertSelection } from "../../alerts/selection-alerts.ts";
import { unlessLate } from "../../base/abort.ts";
import { messageOf, Pg321Error } from "../../base/errors.ts";
import type { BackupKind } from "../../catalog/records.ts";
import type { ServerConfig } from "../../config/config.ts";
import { databasePattern, namedDatabase } from "../../config/database-pattern.ts";
import { quoteIdentifier } from "../../postgres/archive/sql-text.ts";
import { connect, endpointOf } from "../../postgres/connection.ts";
import type { DatabaseChoice } from "../../postgres/inspect.ts";
import { chooseDatabases, listDatabases, listInvalidDatabases } from "../../postgres/inspect.ts";
import type { JobContext } from "../context.ts";
import { databaseHint } from "../copies/find-database.ts";
import { withoutScratch } from "../scratch/exclude.ts";
import { warnOfSharedDevice } from "./shared-device.ts";

export interface Target {
  server: ServerConfig;
  database: string;
  /** What to back up; unset: a dump of the database. */
  kind?: BackupKind;
}

export function targetKey({ server, database }: Target): string {
  return `${server.name}/${database}`;
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
 * that cannot be asked is no failure if none of its known databases is selected, nor a name of the command line that
 * only its config has.
 */
export async function resolveTargets(
  context: JobContext,
  servers: readonly ServerConfig[],
  choice: Choice,
): Promise<Targets> {
  const targets: Target[] = [];
  const listed = new Map<string, readonly string[]>();
  const untargeted: Untargeted[] = [];
  const present: { server: string; database: string }[] = [];
  const silent: { server: ServerConfig; error: unknown; durationMs: number }[] = [];
  const selects: Selects = (server, database) =>
    choice.selects(server, database) && isNamed(context, choice.names, server, database);
  const { clock, log } = context;
  for (const server of servers) {
    const startedAtMs = clock.monotonicMs();
    try {
      const { chosen, missing, idle } = await answered(context, server, databasesOf(context, server));
      listed.set(server.name, idle);
      present.push(...[...chosen, ...missing].map((database) => ({ server: server.name, database })));
      const isMeant = (database: string) => selects(server.name, database);
      for (const database of chosen.filter(isMeant)) targets.push({ server, database });
      for (const database of missing.filter(isMeant)) {
        untargeted.push({ server, database, error: noDatabase(server, database), duration_ms: 0 });
        log.error("a configured database does not exist", { server: server.name, database });
      }
      const isEmpty = chosen.length + missing.length === 0 && choice.names.length === 0;
      if (isEmpty && (await mayMean(context, server, selects)))
        untargeted.push({ server, database: null, error: noneSelected(server, idle), duration_ms: 0 });
    } catch (error) {
      context.signal.throwIfAborted();
      silent.push({ server, error, durationMs: clock.monotonicMs() - startedAtMs });
    }
  }
  const absent = choice.names.filter((name) => !present.some(isNamedBy(context, name)));
  for (const { server, error, durationMs } of silent) {
    const fields = { server: server.name, error: messageOf(error) };
    const isMeant =
      (await mayMean(context, server, selects)) || absent.some((name) => isConfigured(context, server, name));
    if (isMeant) {
      untargeted.push({ server, database: null, error, duration_ms: Math.round(durationMs) });
      log.error("the databases of a server could not be listed", fields);
    } else log.warning("the databases of a server could not be listed, but none of them is due", fields);
  }
  await refuseUnknownNames(context, absent, { present, untargeted });
  const failing = untargeted.flatMap(({ server, database }) =>
    database === null ? [] : [{ server: server.name, database }],
  );
  await alertSelection(context, listed, failing);
  return { targets, untargeted, listed: [...listed.keys()] };
}

/** Throws code `usage` for those of the absent names that not even an unreachable server may have. */
async function refuseUnknownNames(
  context: JobContext,
  absent: readonly string[],
  {
    present,
    untargeted,
  }: { present: readonly { server: string; database: string }[] } & Pick<Targets, "untargeted">,
): Promise<void> {
  const unlisted = untargeted.filter(({ database }) => database === null).map(({ server }) => server);
  const unknown: string[] = [];
  for (const name of absent) {
    const isMeant: Selects = (server, database) => isNamedBy(context, name)({ server, database });
    const may = await Promise.all(unlisted.map((server) => mayMean(context, server, isMeant)));
    if (!may.includes(true) && !unlisted.some((server) => isConfigured(context, server, name)))
      unknown.push(name);
  }
  const [first] = unknown;
  if (first === undefined) return;
  const list = unknown.map((name) => `"${name}"`).join(", ");
  throw new Pg321Error("usage", `no configured database is named ${list}; nothing was backed up`, {
    hint: /[*?[]/.test(first)
      ? "patterns can be used only in the config (pg321 check prints them); name each database, or none for all of them"
      : databaseHint(first, present),
  });
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
  const wanted = await withoutScratch(context, server);
  const choice = chooseDatabases(await listDatabases(connection), wanted);
  const invalid = chooseDatabases(await listInvalidDatabases(connection), wanted).chosen;
  for (const database of invalid) context.log.warning(INVALID_SKIPPED, invalidFields(server, database));
  await context.catalog.overview.seeDatabases(server.name, choice.chosen, context.clock.now().toISOString());
  return choice;
}

const INVALID_SKIPPED = "an invalid database is skipped: a DROP DATABASE of it was interrupted";

function invalidFields({ name }: ServerConfig, database: string) {
  return {
    server: name,
    database,
    hint: `it holds nothing to back up; in psql: DROP DATABASE ${quoteIdentifier(database)}`,
  };
}

/** Whether the command line names this database, or names none at all. */
function isNamed(context: JobContext, names: readonly string[], server: string, database: string): boolean {
  return names.length === 0 || names.some((name) => isNamedBy(context, name)({ server, database }));
}

/** Whether a name of the command line means a database. */
function isNamedBy({ config }: JobContext, name: string) {
  const named = namedDatabase(
    name,
    config.server.map((one) => one.name),
  );
  return ({ server, database }: { server: string; database: string }) =>
    named.database === database && (named.server ?? server) === server;
}

/** Whether the config of a server names, other than by a glob, the database that a name of the command line means. */
function isConfigured(context: JobContext, server: ServerConfig, name: string): boolean {
  const isMeant = isNamedBy(context, name);
  const literals = server.databases.map((written) => databasePattern(written).name);
  return literals.some((database) => database !== undefined && isMeant({ server: server.name, database }));
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
    hint: "check databases in the config: names are case-sensitive; templates, invalid databases and databases that allow no connections cannot be dumped; remove the name of a database that was dropped for good",
  });
}
