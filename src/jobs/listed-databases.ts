import { unlessLate } from "../base/abort.ts";
import type { Clock } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import type { Config, ServerConfig } from "../config/config.ts";
import { databasePattern } from "../config/database-pattern.ts";
import { connect, endpointOf } from "../postgres/connection.ts";
import { chooseDatabases, listDatabases } from "../postgres/inspect.ts";

/** A person waits for the answer. */
const ANSWER_MS_MAX = 5_000;

export interface ListedDatabases {
  /** The selected databases of the servers that answered; of the others, those that the config names. */
  databases: { server: string; database: string }[];
  /** Servers that did not answer, and why. */
  silent: { server: string; error: string }[];
}

/** Asks every server at once for its databases, and changes nothing. */
export async function askForDatabases(
  config: Config,
  { clock, signal }: { clock: Clock; signal: AbortSignal },
): Promise<ListedDatabases> {
  const answers = config.server.map(async (server) => {
    const limit = { clock, signal, durationMs: ANSWER_MS_MAX };
    const late = () => new Error(`no answer within ${ANSWER_MS_MAX / 1000} s`);
    try {
      return { server, names: await unlessLate(databasesOf(server), limit, late), error: undefined };
    } catch (error) {
      signal.throwIfAborted();
      return { server, names: namedIn(config, server), error: messageOf(error) };
    }
  });
  const found = await Promise.all(answers);
  return {
    databases: found.flatMap(({ server, names }) =>
      names.map((database) => ({ server: server.name, database })),
    ),
    silent: found.flatMap(({ server, error }) =>
      error === undefined ? [] : [{ server: server.name, error }],
    ),
  };
}

/** The databases that the config names without a glob. */
export function namedDatabases(config: Config): ListedDatabases {
  const databases = config.server.flatMap((server) =>
    namedIn(config, server).map((database) => ({ server: server.name, database })),
  );
  return { databases, silent: [] };
}

async function databasesOf(server: ServerConfig): Promise<string[]> {
  await using connection = await connect(endpointOf(server));
  const { chosen, missing } = chooseDatabases(await listDatabases(connection), server);
  return [...chosen, ...missing];
}

function namedIn({ database }: Config, { name: server, databases }: ServerConfig): string[] {
  const own = database.filter((one) => one.server === undefined || one.server === server);
  const patterns = [...databases, ...own.map(({ name }) => name)].map(databasePattern);
  return [...new Set(patterns.flatMap(({ name }) => name ?? []))];
}
