import { deadline, unlessAborted } from "../base/abort.ts";
import { systemClock } from "../base/clock.ts";
import { Pg321Error } from "../base/errors.ts";
import type { Connection, Endpoint } from "./connection.ts";
import { connect } from "./connection.ts";

/** How long the statements of a session may take. */
export interface StatementLimit {
  /** Ends the statement that runs when it aborts; its reason is what the error says. */
  signal: AbortSignal;
  /** The server ends a statement by itself after this time, even if this process has been killed meanwhile. 0: never. */
  timeoutMs: number;
}

/** The signal ended a statement. The message names both: `cannot create extension "x": the restore test took …`. */
export class EndedStatement extends Pg321Error {}

/** For the end of a session whose statement took too long. */
const END_MS_MAX = 5_000;

/**
 * Connects as `connect` does. When the signal aborts, the running statement and all later ones reject: with
 * `EndedStatement` if the signal's reason is a `Pg321Error`, otherwise with that reason. Then the session is ended at the
 * server, which would otherwise finish a statement that nobody waits for.
 */
export async function connectWithin(endpoint: Endpoint, limit: StatementLimit): Promise<Connection> {
  const { signal, timeoutMs } = limit;
  const what = `connect to database "${endpoint.database}"`;
  const close = (late: Connection) => void late[Symbol.asyncDispose]();
  const connection = await unlessAborted(connect(endpoint), signal, close).catch((error) => {
    throw signal.aborted ? endedBy(signal, endpoint, what) : error;
  });
  try {
    const pid = await unlessAborted(limitStatements(connection, timeoutMs), signal);
    return bounded(connection, signal, pid);
  } catch (error) {
    await connection[Symbol.asyncDispose]();
    throw signal.aborted ? endedBy(signal, endpoint, what) : error;
  }
}

/** Returns the number of the server process. */
async function limitStatements(connection: Connection, timeoutMs: number): Promise<number> {
  return await connection.run("limit the time of statements", async (sql) => {
    const [row] = await sql<{ pid: number }[]>`
      select set_config('statement_timeout', ${String(timeoutMs)}, false), pg_backend_pid() as pid`;
    // Not on every system: only Linux can see that the client has closed its connection.
    await sql`select set_config(name, '10s', false) from pg_settings
      where name = 'client_connection_check_interval'`.catch(() => {});
    return row?.pid ?? 0;
  });
}

function bounded(connection: Connection, signal: AbortSignal, pid: number): Connection {
  const { endpoint } = connection;
  let ending: Promise<void> | undefined;
  return {
    endpoint,
    async run(what, query) {
      if (signal.aborted) throw endedBy(signal, endpoint, what);
      try {
        return await unlessAborted(connection.run(what, query), signal);
      } catch (error) {
        if (!signal.aborted) throw error;
        ending ??= endSession(endpoint, pid);
        await ending;
        throw endedBy(signal, endpoint, what);
      }
    },
    async [Symbol.asyncDispose]() {
      await ending;
      await connection[Symbol.asyncDispose]();
    },
  };
}

/** What to throw if the signal ended a statement. */
export function endedBy({ reason }: AbortSignal, { label }: Pick<Endpoint, "label">, what: string): unknown {
  if (!(reason instanceof Pg321Error)) return reason;
  return new EndedStatement(reason.code, `${label}: cannot ${what}: ${reason.message}`, {
    ...(reason.hint !== undefined && { hint: reason.hint }),
    cause: reason,
  });
}

/** From a second session. A server that does not answer that one either keeps the first until its statement_timeout. */
async function endSession(endpoint: Endpoint, pid: number): Promise<void> {
  using time = deadline({ clock: systemClock, durationMs: END_MS_MAX });
  const end = async () => {
    await using connection = await connect(endpoint);
    await connection.run("end a session", (sql) => sql`select pg_terminate_backend(${pid})`);
  };
  await unlessAborted(end(), time.signal).catch(() => {});
}
