import { existsSync } from "node:fs";
import type { Socket } from "node:net";
import type { Options, Sql } from "postgres";
import postgres from "postgres";
import { Pg321Error } from "../base/errors.ts";
import { passwordAtHome, SOCKET_DIRS } from "../base/files/passfile.ts";
import { tlsOf } from "../base/network/libpq-tls.ts";
import { onlyOnce, openSocket } from "../base/network/one-socket.ts";
import { userName } from "../base/process/become-user.ts";
import { Secret } from "../base/secret.ts";
import type { ServerConfig } from "../config/config.ts";
import { SSL_MODES } from "../config/config.ts";
import { URL_PARAMETERS } from "../config/server-url.ts";
import { databaseError, sqlStateOf } from "./errors.ts";

type ServerAddress = Pick<
  ServerConfig,
  | "host"
  | "port"
  | "user"
  | "password"
  | "sslmode"
  | "sslrootcert"
  | "sslcert"
  | "sslkey"
  | "connect_timeout_ms"
>;

/** One database of one server, and how to connect to it. */
export interface Endpoint extends ServerAddress {
  /** The server's name in messages: `server "main"`. */
  label: string;
  database: string;
  /** What else may help if the server refuses the password. */
  passwordHint?: string;
}

/** The name of pg321's sessions, and of those of the programs that it starts, in `pg_stat_activity`. */
export const APPLICATION = "pg321";
const CONNECT_TIMEOUT_MS_DEFAULT = 10_000;
/** SQLSTATE of a statement that a timeout or a cancel request ended. */
const QUERY_CANCELED = "57014";
const PASSWORD_REFUSED = "28P01";
/** Some versions lack some of these. `lock_timeout` is left as it is, to bound waits for locks. */
const OTHER_TIMEOUTS = ["transaction_timeout", "idle_session_timeout", "idle_in_transaction_session_timeout"];
const NO_HOST = "_";

export function endpointOf(server: ServerConfig, database = server.maintenance_database): Endpoint {
  return { ...server, label: `server "${server.name}"`, database };
}

/** `postgres://user:password@host:port/database?sslmode=…`; a socket's directory as `?host=/run/postgresql`. */
export function endpointOfUrl(text: string, label = "target"): Endpoint {
  const refuse = (problem: string) =>
    new Pg321Error("usage", `${label}: ${problem}`, { hint: "write postgres://user@host:port/database" });
  // The URL standard requires a host after credentials, libpq does not.
  const url = URL.parse(text.replace(/^([a-z]+:\/\/[^/?#]*@)(?=[/?:]|$)/, `$1${NO_HOST}`));
  // The message must not show the text, which may contain a password.
  if (!url || !/^postgres(ql)?:$/.test(url.protocol)) throw refuse("not a PostgreSQL URL");
  const unknown = [...url.searchParams.keys()].find((key) => !URL_PARAMETERS.includes(key));
  if (unknown !== undefined) throw refuse(`unknown parameter "${unknown}" in the URL`);
  const parameter = (name: string) => url.searchParams.get(name) ?? undefined;
  const decoded = (part: string) => {
    try {
      return decodeURIComponent(part);
    } catch {
      throw refuse("a percent sign in the URL must be written as %25");
    }
  };
  const host = parameter("host") ?? decoded(url.hostname).replace(/^\[(.*)\]$/, "$1");
  if (host.includes(",")) throw refuse("the URL must name exactly one host");
  const sslmode = SSL_MODES.find((mode) => mode === (parameter("sslmode") ?? "prefer"));
  if (!sslmode) throw refuse(`unknown sslmode "${parameter("sslmode")}"`);
  const port = Number(url.port || (parameter("port") ?? 5432));
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    throw refuse("the port in the URL must be from 1 to 65535");
  const timeoutMs = Number(parameter("connect_timeout") ?? 0) * 1000;
  if (!(timeoutMs >= 0)) throw refuse("connect_timeout in the URL must be a number of seconds");
  const user = decoded(url.username) || userName();
  const database = decoded(url.pathname.slice(1));
  // libpq would use the database named like the user, which is never meant in a restore.
  if (database === "") throw refuse("the URL names no database");
  return {
    label,
    host: host === NO_HOST ? undefined : host || undefined,
    port,
    user,
    password: url.password ? new Secret(decoded(url.password)) : undefined,
    database,
    sslmode,
    sslrootcert: parameter("sslrootcert"),
    sslcert: parameter("sslcert"),
    sslkey: parameter("sslkey"),
    connect_timeout_ms: timeoutMs || CONNECT_TIMEOUT_MS_DEFAULT,
  };
}

/** The host, or the directory of the socket, for both the `postgres` package and libpq. */
export function hostOf({ host, port }: Pick<Endpoint, "host" | "port">): string {
  return host ?? SOCKET_DIRS.find((dir) => existsSync(`${dir}/.s.PGSQL.${port}`)) ?? "localhost";
}

/** Where a server is, for messages: a socket by its path, and that a socket is missing if the config names no host. */
export function placeText({ host, port }: Pick<Endpoint, "host" | "port">): string {
  const found = hostOf({ host, port });
  if (found.startsWith("/")) return `socket ${found}/.s.PGSQL.${port}`;
  const missing = `no socket .s.PGSQL.${port} in ${SOCKET_DIRS.join(" or ")}`;
  return `${found}:${port}${host === undefined ? ` (no host is configured, and there is ${missing})` : ""}`;
}

/** A single session. Queries go through `run`, which converts their errors. */
export interface Connection extends AsyncDisposable {
  readonly endpoint: Endpoint;
  /** `what` completes "cannot …" in the message. */
  run<T>(what: string, query: (sql: Sql) => PromiseLike<T>): Promise<T>;
}

/** Connects now. Throws `Pg321Error` with code `database`. */
export async function connect(endpoint: Endpoint): Promise<Connection> {
  const sql = postgres(await optionsOf(endpoint));
  const run = async <T>(what: string, query: (sql: Sql) => PromiseLike<T>): Promise<T> => {
    try {
      return await query(sql);
    } catch (error) {
      throw databaseError(error, `${endpoint.label}: cannot ${what}`);
    }
  };
  const close = () => sql.end({ timeout: 1 });
  try {
    // Objects of the database's users must not shadow the system's. Timeouts set for a role or a database are meant
    // for its users; PostgreSQL's own programs disable them in the same way.
    await run(
      `connect to database "${endpoint.database}" as "${endpoint.user}" at ${placeText(endpoint)}`,
      async () => {
        await withoutTimeout(sql);
        await sql`select pg_catalog.set_config('search_path', 'pg_catalog', false)`;
        await sql`select set_config(name, '0', false) from pg_settings where name in ${sql(OTHER_TIMEOUTS)}`;
      },
    );
  } catch (error) {
    await close();
    throw withPasswordHint(error, endpoint);
  }
  return { endpoint, run, [Symbol.asyncDispose]: close };
}

function withPasswordHint(error: unknown, { passwordHint }: Endpoint): unknown {
  if (!(error instanceof Pg321Error) || passwordHint === undefined || sqlStateOf(error) !== PASSWORD_REFUSED)
    return error;
  const { code, message, hint, cause } = error;
  return new Pg321Error(code, message, { cause, hint: `${hint}; ${passwordHint}` });
}

/** A role's own `statement_timeout` may be so short that it ends even this statement, so it is tried a few times. */
async function withoutTimeout(sql: Sql, attempts = 5): Promise<void> {
  try {
    await sql`select pg_catalog.set_config('statement_timeout', '0', false), pg_catalog.set_config('role', 'none', false)`;
  } catch (error) {
    if (attempts <= 1 || (error as { code?: string }).code !== QUERY_CANCELED) throw error;
    await withoutTimeout(sql, attempts - 1);
  }
}

/** Sets everything, so that the package reads nothing from this process's environment. */
async function optionsOf(
  endpoint: Endpoint,
): Promise<Options<Record<string, never>> & { socket: () => Promise<Socket> }> {
  const host = hostOf(endpoint);
  return {
    host,
    port: endpoint.port,
    socket: onlyOnce(() => openSocket({ host, port: endpoint.port }, endpoint.connect_timeout_ms)),
    user: endpoint.user,
    password: async () => (await passwordFor(endpoint, host)) ?? "",
    database: endpoint.database,
    ssl: host.startsWith("/") ? false : await tlsOf(endpoint, { label: endpoint.label, code: "database" }),
    max: 1,
    prepare: false,
    fetch_types: false,
    idle_timeout: 0,
    connect_timeout: endpoint.connect_timeout_ms / 1000,
    connection: { application_name: APPLICATION },
    onnotice: () => {},
  };
}

/** The configured password, otherwise that of `~/.pgpass`, which libpq's programs read as well. */
export async function passwordFor(endpoint: Endpoint, host: string): Promise<string | undefined> {
  const { port, database, user, password } = endpoint;
  if (password) return password.reveal();
  return passwordAtHome({ host, port, database, user });
}
