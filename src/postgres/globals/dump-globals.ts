import { Pg321Error } from "../../base/errors.ts";
import { readChild } from "../../stream/process.ts";
import { quoteIdentifier } from "../archive/sql-text.ts";
import type { Connection, Endpoint } from "../connection.ts";
import type { DumpOptions } from "../dump.ts";
import { databaseError } from "../errors.ts";
import { connectionString, libpqEnvironment, ownRole } from "../libpq.ts";
import { CompletionCheck } from "./complete.ts";

/** What is known about the globals of a server before they are dumped. */
export interface GlobalsFacts extends Record<string, unknown> {
  /** Number of roles, without PostgreSQL's own. */
  roles: number;
  tablespaces: number;
  /** Whether the role may read the passwords of roles; otherwise the backup has none. */
  passwords: boolean;
}

/** Counts roles and tablespaces, and tries whether the role may read passwords. */
export async function globalsFacts(connection: Connection): Promise<GlobalsFacts> {
  const [row] = await connection.run(
    "look at the roles",
    (sql) => sql<{ roles: number; tablespaces: number }[]>`
      select (select count(*)::int from pg_roles where rolname !~ '^pg_') as roles,
        (select count(*)::int from pg_tablespace where spcname !~ '^pg_') as tablespaces`,
  );
  if (!row) throw new Error("a select without a table gives one row");
  const { roles, tablespaces } = row;
  return { roles, tablespaces, passwords: await canReadPasswords(connection) };
}

/** Tries it: hosted servers refuse it even to roles that have the privilege. */
export async function canReadPasswords(connection: Connection): Promise<boolean> {
  try {
    await connection.run("read pg_authid", (sql) => sql`select rolpassword from pg_authid limit 1`);
    return true;
  } catch (error) {
    if (error instanceof Pg321Error && /permission denied/.test(error.message)) return false;
    throw error;
  }
}

/** The statement that lets a role read the passwords of roles. It applies only in the database where it was run. */
export function passwordsStatement({ user }: Pick<Endpoint, "user">): string {
  return `GRANT SELECT ON pg_catalog.pg_authid TO ${quoteIdentifier(user)};`;
}

export interface GlobalsOptions
  extends Pick<DumpOptions, "endpoint" | "binary" | "tempDir" | "stall_timeout_ms" | "nice" | "io_class">,
    Pick<DumpOptions, "signal" | "blocks" | "onExit"> {
  passwords: boolean;
}

/**
 * The globals of a server as the SQL of `pg_dumpall --globals-only`. Like `dumpDatabase`, the stream ends only if
 * pg_dumpall succeeded, and wrote its last line.
 */
export async function* dumpGlobals(options: GlobalsOptions): AsyncGenerator<Uint8Array, void, undefined> {
  const { endpoint, binary, signal } = options;
  const what = `${endpoint.label}: dump of the globals failed`;
  await using libpq = await libpqEnvironment(endpoint, options.tempDir);
  const end = new CompletionCheck();
  const argv = [
    ...[binary.path, "--globals-only", "--encoding=UTF8", "--no-password", ownRole(endpoint)],
    ...(options.passwords ? [] : ["--no-role-passwords"]),
    `--database=${connectionString(endpoint.database)}`,
  ];
  const { nice, io_class: ioClass, stall_timeout_ms: stallTimeoutMs } = options;
  const child = { argv, env: libpq.env, nice, ioClass, stallTimeoutMs, ...(signal && { signal }) };
  try {
    for await (const block of readChild(child, options.blocks, options.onExit)) {
      end.pass(block);
      yield block;
    }
  } catch (error) {
    throw withLackingRight(endpoint, databaseError(error, what));
  }
  if (!end.isComplete)
    throw new Pg321Error("database", `${what}: pg_dumpall succeeded, but its output is truncated`, {
      hint: "check pg_dumpall, and the file system of its binaries",
    });
}

/** Adds the statement that grants the right that the role lacks. */
function withLackingRight({ user, database }: Endpoint, error: unknown): unknown {
  if (!(error instanceof Pg321Error)) return error;
  const relation = /permission denied for (?:table|view|relation|sequence) (\w+)/.exec(error.message)?.[1];
  if (relation === undefined) return error;
  const { code, cause, retryable, message } = error;
  return new Pg321Error(code, `${message}; "${user}" cannot read pg_catalog.${relation}`, {
    hint: `run in psql as a superuser, in database "${database}": GRANT SELECT ON pg_catalog.${relation} TO ${quoteIdentifier(user)};`,
    cause,
    retryable,
  });
}
