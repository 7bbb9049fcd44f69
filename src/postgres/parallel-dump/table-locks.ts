import { unlessAborted, unlessLate } from "../../base/abort.ts";
import type { Clock } from "../../base/clock.ts";
import { Pg321Error } from "../../base/errors.ts";
import { quoteQualified } from "../archive/sql-text.ts";
import type { Connection, Endpoint } from "../connection.ts";
import { APPLICATION, connect } from "../connection.ts";
import { sqlStateOf, VanishedError } from "../errors.ts";
import { shownStatement } from "../restore/shown-statement.ts";
import type { Relation } from "./patterns.ts";
import type { SnapshotRelation } from "./plan.ts";

/** Shown in `pg_stat_activity`. */
export const LOCKS_APPLICATION = "pg321 locks";
const TABLES_AT_ONCE = 200;
const LOOK_INTERVAL_MS = 500;
/** For an answer of the session with the locks, which has nothing else to do. */
const ANSWER_MS_MAX = 10_000;
const QUERY_CHARACTERS_MAX = 200;

export interface LockOptions {
  /** How long each wait for a lock may last; 0: no limit. */
  lockWaitMs: number;
  signal: AbortSignal;
}

/**
 * A session that holds ACCESS SHARE locks on the tables of a dump, so that no table can change between the streams of it.
 */
export interface TableLocks extends AsyncDisposable {
  /** Bytes of the tables on the server's disk, by their oids. */
  readonly sizes: ReadonlyMap<number, number>;
  /**
   * Looks again and again, until the signal aborts: throws `VanishedError` as soon as a stream of the dump waits behind a
   * session that itself waits for these locks, because neither would go on before a timeout.
   */
  watch(clock: Clock, signal: AbortSignal): Promise<never>;
  /** Throws if the session is gone, and with it the locks. */
  confirm(clock: Clock, signal: AbortSignal): Promise<void>;
}

/**
 * Locks the tables. Throws code `database`: a `VanishedError` if one of them was dropped, renamed, truncated or rewritten
 * since the snapshot.
 */
export async function lockTables(
  endpoint: Endpoint,
  tables: readonly SnapshotRelation[],
  { lockWaitMs, signal }: LockOptions,
): Promise<TableLocks> {
  const close = (connection: Connection) => void connection[Symbol.asyncDispose]();
  const connection = await unlessAborted(connect(endpoint), signal, close);
  try {
    await unlessAborted(lock(connection, tables, lockWaitMs), signal);
    const sizes = await unlessAborted(sizesOf(connection, tables), signal);
    return new HeldLocks(connection, sizes);
  } catch (error) {
    close(connection);
    throw error;
  }
}

async function lock(
  connection: Connection,
  tables: readonly SnapshotRelation[],
  lockWaitMs: number,
): Promise<void> {
  await connection.run("begin to lock the tables", async (sql) => {
    await sql`select set_config('application_name', ${LOCKS_APPLICATION}, false),
      set_config('lock_timeout', ${String(lockWaitMs)}, false)`;
    await sql.unsafe("begin read only");
  });
  for (let at = 0; at < tables.length; at += TABLES_AT_ONCE) {
    const names = tables
      .slice(at, at + TABLES_AT_ONCE)
      .map(({ schema, name }) => quoteQualified(schema, name));
    try {
      await connection.run("lock the tables of the dump", (sql) =>
        sql.unsafe(`lock table only ${names.join(", only ")} in access share mode`),
      );
    } catch (error) {
      throw await explained(connection, error, tables);
    }
  }
}

/** Undefined table, undefined schema. */
const GONE = ["42P01", "3F000"];
const LOCK_NOT_AVAILABLE = "55P03";

async function explained(
  connection: Connection,
  error: unknown,
  tables: readonly SnapshotRelation[],
): Promise<unknown> {
  if (!(error instanceof Pg321Error)) return error;
  const code = sqlStateOf(error);
  if (GONE.includes(code ?? "")) return vanished(error.message, error);
  if (code !== LOCK_NOT_AVAILABLE) return error;
  const holders = await lockHolders(connection, tables).catch(() => []);
  const { hint, retryable, cause, outside } = error;
  const message = [error.message, ...holders].join("; ");
  return new Pg321Error("database", message, {
    ...(hint !== undefined && { hint }),
    ...(outside !== undefined && { outside }),
    ...{ retryable, cause },
  });
}

/** The sessions that hold locks on the tables with which ours are not compatible, after a wait for them has failed. */
async function lockHolders(connection: Connection, tables: readonly SnapshotRelation[]): Promise<string[]> {
  await connection.run("end the transaction", (sql) => sql.unsafe("rollback"));
  const rows = await connection.run(
    "read the locks",
    (sql) => sql<(Waiting & { relation: string })[]>`
      select a.pid, a.usename as user, a.application_name as application, l.relation::regclass::text as relation,
        left(regexp_replace(a.query, '\\s+', ' ', 'g'), ${QUERY_CHARACTERS_MAX}) as query
      from pg_locks l join pg_stat_activity a on a.pid = l.pid
      where l.granted and l.mode = 'AccessExclusiveLock'
        and l.database = (select oid from pg_database where datname = current_database())
        and l.relation = any(string_to_array(${tables.map(({ oid }) => oid).join()}, ',')::oid[]) limit 5`,
  );
  return rows.map(
    ({ relation, ...session }) =>
      `${sessionText(session)} has locked ${relation}; its last statement: ${shownStatement(session.query)}`,
  );
}

function sessionText({ pid, user, application }: Omit<Waiting, "relation">): string {
  return `session ${pid} (user ${user}, application "${application}")`;
}

function vanished(message: string, cause?: unknown): VanishedError {
  return new VanishedError("database", message, {
    hint: "the dump is tried again at once (dump.retries); let statements that change tables run at another time than the backups",
    retryable: true,
    ...(cause !== undefined && { cause }),
  });
}

interface Current {
  oid: string;
  schema: string;
  name: string;
  filenode: string;
  bytes: string;
}

/** Compares the locked tables with what the snapshot says about them. */
async function sizesOf(
  connection: Connection,
  tables: readonly SnapshotRelation[],
): Promise<Map<number, number>> {
  const rows = await connection.run(
    "read the sizes of the tables",
    (sql) => sql<Current[]>`
      select c.oid::int8::text as oid, n.nspname as schema, c.relname as name,
        coalesce(pg_relation_filenode(c.oid), 0)::int8::text as filenode,
        coalesce(pg_table_size(c.oid), 0)::text as bytes
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where c.oid = any(string_to_array(${tables.map(({ oid }) => oid).join()}, ',')::oid[])`,
  );
  const current = new Map(rows.map((row) => [Number(row.oid), row]));
  for (const table of tables) {
    const found = current.get(table.oid);
    if (!found || found.schema !== table.schema || found.name !== table.name)
      throw vanished(`${nameOf(table)} was replaced by another table while the dump began`);
    if (Number(found.filenode) !== table.filenode)
      throw vanished(`${nameOf(table)} was truncated or rewritten while the dump began`);
  }
  return new Map(rows.map(({ oid, bytes }) => [Number(oid), Number(bytes)]));
}

function nameOf({ schema, name }: Relation): string {
  return `table "${schema}"."${name}"`;
}

interface Waiting {
  pid: number;
  user: string;
  application: string;
  /** Whole words of a client: shown only without its literals. */
  query: string;
  relation: string | null;
}

class HeldLocks implements TableLocks {
  readonly sizes: ReadonlyMap<number, number>;
  readonly #connection: Connection;

  constructor(connection: Connection, sizes: ReadonlyMap<number, number>) {
    this.#connection = connection;
    this.sizes = sizes;
  }

  async watch(clock: Clock, signal: AbortSignal): Promise<never> {
    for (;;) {
      await clock.sleep(LOOK_INTERVAL_MS, signal);
      const [waiting] = await this.#answered(this.#waiting(), { clock, signal });
      if (!waiting) continue;
      const { relation } = waiting;
      const query = shownStatement(waiting.query);
      throw vanished(
        `${sessionText(waiting)} waits for ${relation ?? "a table"}, which the dump has locked, and a stream of the dump waits behind it: ${query}`,
      );
    }
  }

  async confirm(clock: Clock, signal: AbortSignal): Promise<void> {
    await this.#answered(
      this.#connection.run("keep the locks of the dump", (sql) => sql`select`),
      { clock, signal },
    );
  }

  /** A session whose end was noticed while a query was sent may never answer it. */
  #answered<T>(query: Promise<T>, { clock, signal }: { clock: Clock; signal: AbortSignal }): Promise<T> {
    const { label } = this.#connection.endpoint;
    const late = () =>
      new Pg321Error("database", `${label}: the session with the locks of the dump does not answer`, {
        hint: "check the server's log for a session that was terminated; the dump is tried again",
        retryable: true,
      });
    return unlessLate(query, { clock, signal, durationMs: ANSWER_MS_MAX }, late);
  }

  #waiting(): Promise<Waiting[]> {
    return this.#connection.run(
      "look for sessions that wait for the dump",
      (sql) => sql<Waiting[]>`
        with waiting as materialized (
          select pid, usename, application_name, query, pg_blocking_pids(pid) as blockers
          from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database())
        select w.pid, w.usename as user, w.application_name as application,
          left(regexp_replace(w.query, '\\s+', ' ', 'g'), ${QUERY_CHARACTERS_MAX}) as query,
          (select l.relation::regclass::text from pg_locks l
            where l.pid = w.pid and not l.granted and l.relation is not null limit 1) as relation
        from waiting w
        where pg_backend_pid() = any(w.blockers) and exists (select from waiting o
          where o.application_name = ${APPLICATION} and w.pid = any(o.blockers))`,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection[Symbol.asyncDispose]();
  }
}
