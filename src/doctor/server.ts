import { patternHint } from "../alerts/selection-alerts.ts";
import { durationText, plural } from "../base/text/amounts.ts";
import type { Config, ServerConfig } from "../config/config.ts";
import { storagesOnDevice } from "../jobs/backup/shared-device.ts";
import { quoteIdentifier } from "../postgres/archive/sql-text.ts";
import { pgDumpFor } from "../postgres/binaries.ts";
import type { Connection } from "../postgres/connection.ts";
import { connect, endpointOf } from "../postgres/connection.ts";
import { lackingRights, READ_ALL_MAJOR, readAllStatement } from "../postgres/dump-rights.ts";
import type { ServerFacts } from "../postgres/inspect.ts";
import {
  chooseDatabases,
  databaseBytes,
  inspectServer,
  listDatabases,
  listInvalidDatabases,
} from "../postgres/inspect.ts";
import { inspectStandby, mayPause, pauseRights } from "../postgres/standby.ts";
import type { Seen } from "./finding.ts";
import { failed, ok, seenOf, warning } from "./finding.ts";
import { lookAtGlobals } from "./globals.ts";

export interface ServerLook {
  seen: Seen[];
  /** The databases that a backup would take. */
  databases: string[];
  major: number | undefined;
  /** Names of local storages that lie on the same device as the server's data. */
  storagesOnDevice: string[];
}

export async function lookAtServer(config: Config, server: ServerConfig): Promise<ServerLook> {
  await using connection = await connect(endpointOf(server));
  const facts = await inspectServer(connection);
  const choice = chooseDatabases(await listDatabases(connection), server);
  return {
    seen: [
      ok(`PostgreSQL ${facts.version} as "${server.user}"`),
      ...(await programOf(facts, server)),
      ...(await roleOf(connection, facts)),
      ...(server.globals ? await lookAtGlobals(connection, facts, server) : []),
      ...(await standbyOf(connection, server)),
      ...choiceOf(choice),
      ...(await invalidOf(connection, server)),
    ],
    databases: choice.chosen,
    major: facts.major,
    storagesOnDevice: (await storagesOnDevice(config, connection)).map(({ name }) => name),
  };
}

async function programOf({ major }: ServerFacts, server: ServerConfig): Promise<Seen[]> {
  try {
    const { path, version } = await pgDumpFor(major, server.bin_dir);
    return [ok(`pg_dump ${version} (${path})`)];
  } catch (error) {
    return [seenOf(error, server.name, "database")];
  }
}

/** The general rights of the role, which decide about future tables; `lookAtDatabase` checks the existing ones. */
async function roleOf(connection: Connection, { major, isSuperuser }: ServerFacts): Promise<Seen[]> {
  if (isSuperuser) return [ok("superuser: can dump everything")];
  const { user } = connection.endpoint;
  if (major < READ_ALL_MAJOR)
    return [warning("not a superuser: a new table can be dumped only if its owner grants access")];
  const [row] = await connection.run(
    "look at the role",
    (sql) => sql<{ reads_all: boolean }[]>`select pg_has_role('pg_read_all_data', 'usage') as reads_all`,
  );
  if (row?.reads_all) return [ok("can read all data")];
  const hint = readAllStatement(quoteIdentifier(user), major);
  return [warning("not a member of pg_read_all_data: the next new table may make the dump fail", hint)];
}

/** A standby may end a dump to replay WAL. */
async function standbyOf(connection: Connection, { user, standby: config }: ServerConfig): Promise<Seen[]> {
  const standby = await inspectStandby(connection);
  if (!standby) return [];
  const { lagMs, replay, hasFeedback } = standby;
  const lag = lagMs === null ? "nothing replayed yet" : `${durationText(lagMs)} behind its primary`;
  const seen: Seen[] = [ok(`a standby, ${lag}${replay === "not paused" ? "" : `, replay is ${replay}`}`)];
  if (lagMs !== null && lagMs > config.max_lag_ms)
    seen.push(
      warning(
        `the standby is more than standby.max_lag (${durationText(config.max_lag_ms)}) behind its primary`,
      ),
    );
  if (!config.pause_replay) {
    const hint =
      "set hot_standby_feedback = on on the standby, or standby.pause_replay in the config (docs/standby.md)";
    return hasFeedback ? seen : [...seen, warning("the standby may end a long dump to replay WAL", hint)];
  }
  if (await mayPause(connection)) return [...seen, ok("may pause its replay")];
  const hint = `on the primary, in database "${connection.endpoint.database}": ${pauseRights(quoteIdentifier(user))}`;
  return [...seen, warning("may not pause the replay, so standby.pause_replay has no effect", hint)];
}

async function invalidOf(connection: Connection, server: ServerConfig): Promise<Seen[]> {
  const { chosen } = chooseDatabases(await listInvalidDatabases(connection), server);
  return chosen.map((name) =>
    warning(
      `database "${name}" is invalid, because a DROP DATABASE of it was interrupted, and is skipped`,
      `in psql: DROP DATABASE ${quoteIdentifier(name)}`,
    ),
  );
}

function choiceOf({ chosen, missing, idle }: ReturnType<typeof chooseDatabases>): Seen[] {
  const seen = missing.map((name) =>
    failed("database", `database "${name}" does not exist`, "correct databases in the config, or create it"),
  );
  for (const pattern of idle) seen.push(warning(`"${pattern}" matches no database`, patternHint(pattern)));
  if (chosen.length === 0)
    seen.push(failed("database", "no database is selected", "check databases and exclude in the config"));
  else seen.push(ok(`${plural(chosen.length, "database")}: ${someOf(chosen)}`));
  return seen;
}

export interface DatabaseLook {
  /** Whatever would make its dump fail; empty if nothing would. */
  seen: Seen[];
  /** Its size on the server's disk; 0 if the role cannot see it. */
  bytes: number;
}

export async function lookAtDatabase(server: ServerConfig, database: string): Promise<DatabaseLook> {
  await using connection = await connect(endpointOf(server, database));
  const seen = (await lackingRights(connection)).map((lacking) =>
    failed("database", lacking.message, lacking.statement),
  );
  return { seen, bytes: (await databaseBytes(connection, database)) ?? 0 };
}

function someOf(names: readonly string[]): string {
  const shown = names.slice(0, 5).join(", ");
  return names.length > 5 ? `${shown} and ${names.length - 5} more` : shown;
}
