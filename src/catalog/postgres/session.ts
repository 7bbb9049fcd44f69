import type { Socket } from "node:net";
import type { Options, Sql } from "postgres";
import postgres from "postgres";
import { deadline, unlessAborted } from "../../base/abort.ts";
import { systemClock } from "../../base/clock.ts";
import { passwordAtHome } from "../../base/files/passfile.ts";
import { tlsOf } from "../../base/network/libpq-tls.ts";
import { coded, onlyOnce, openSocket } from "../../base/network/one-socket.ts";
import { userName } from "../../base/process/become-user.ts";
import type { CatalogHost, CatalogUrl } from "../../config/catalog-url.ts";
import type { Row } from "../sqlite/tables.ts";
import { WHEREABOUTS, type Whereabouts } from "./calls.ts";
import { numbered, valuesOf } from "./dialect.ts";

/** The name of pg321's sessions in `pg_stat_activity`. */
const APPLICATION = "pg321 catalog";
/** The client waits this much longer than the server works at a statement: the server may be gone. */
const ANSWER_S = 10;
/** After this long without an answer another connection shows whether the server still answers at all. */
const LOOK_MS = 5_000;
const KEEP_ALIVE_MS = 30_000;
const IS_READ_ONLY =
  "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' AS is_read_only";
/** All numbers of the catalog are integers that JavaScript can hold; sums of them are `numeric`. */
const NUMBERS = { to: 20, from: [20, 1700], serialize: String, parse: Number };

/**
 * How a transaction begins. Its settings end with it, so that PgBouncer can give the session to others. Compiling a
 * statement (jit) took two seconds for one that takes 30 ms.
 */
export interface Beginning {
  mode: string;
  /** The longest time of a statement at the server. */
  statementSeconds: number;
  /** How long a statement waits for a lock of another session. */
  lockSeconds: number;
  /** After this time without a statement the server ends the transaction. */
  idleSeconds: number;
}

/** How a session finds out whether its server still answers. */
interface Look {
  /** After this long without an answer, and again and again. */
  afterMs: number;
  /** Rejects if the server does not answer a new connection in the same time. */
  isAnswered(): Promise<void>;
}

/** One session of a server. Whoever has it uses it alone. */
export class Session implements AsyncDisposable {
  readonly #sql: Sql;
  /** Whether the server accepts no writes: a standby. */
  readonly isReadOnly: boolean;
  readonly #look: Look;
  #isLost = false;
  #answerMs = ANSWER_S * 1000;

  private constructor(sql: Sql, isReadOnly: boolean, look: Look) {
    this.#sql = sql;
    this.isReadOnly = isReadOnly;
    this.#look = look;
  }

  /** Connects now. Rejects with the package's errors. */
  static async open(url: CatalogUrl, host: CatalogHost, label: string): Promise<Session> {
    const sql = postgres(await optionsOf(url, host, label));
    try {
      const [row] = await within(
        sql.unsafe<{ is_read_only: boolean }[]>(IS_READ_ONLY),
        url.connect_timeout_ms,
      );
      return new Session(sql, row?.is_read_only === true, {
        afterMs: Math.min(LOOK_MS, url.connect_timeout_ms),
        async isAnswered() {
          await using _other = await Session.open({ ...url, connect_timeout_ms: this.afterMs }, host, label);
        },
      });
    } catch (error) {
      await sql.end({ timeout: 1 });
      throw error;
    }
  }

  get isLost(): boolean {
    return this.#isLost;
  }

  async begin({
    mode,
    statementSeconds,
    lockSeconds,
    idleSeconds,
  }: Beginning): Promise<Whereabouts | undefined> {
    this.#answerMs = (statementSeconds + ANSWER_S) * 1000;
    const results = await this.script(`BEGIN ${mode};
      SET LOCAL search_path = pg321;
      SET LOCAL jit = off;
      SET LOCAL statement_timeout = '${statementSeconds}s';
      SET LOCAL lock_timeout = '${lockSeconds}s';
      SET LOCAL idle_in_transaction_session_timeout = '${idleSeconds}s';
      SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off';
      ${WHEREABOUTS}`);
    return (results.at(-1) as Whereabouts[] | undefined)?.[0];
  }

  /** Statements without values. Resolves to the rows of each, if there are several. */
  async script(text: string): Promise<readonly unknown[]> {
    return await this.#answer(this.#sql.unsafe<unknown[]>(text));
  }

  /** The rows of one statement, and the number of rows that it changed. */
  async execute(sql: string, values: Row): Promise<{ rows: Row[]; count: number }> {
    const statement = numbered(sql);
    const bound = valuesOf(statement, values);
    const result = await this.#answer(this.#sql.unsafe<Row[]>(statement.text, bound));
    return { rows: [...result], count: result.count };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The package would wait for the answers that a lost session will never get.
    const timeout = this.#isLost ? 0 : 1;
    this.#isLost = true;
    await this.#sql.end({ timeout });
  }

  async #answer<T>(query: PromiseLike<T>): Promise<T> {
    try {
      return await within(query, this.#answerMs, this.#look);
    } catch (error) {
      // The server's own errors have a severity; after any other the session cannot be used.
      if (!(error instanceof Error && "severity" in error && error.severity !== "FATAL")) this.#isLost = true;
      throw error;
    }
  }
}

/** Rejects as a lost connection does if there is no answer in time, or if a look finds that there will be none. */
async function within<T>(query: PromiseLike<T>, answerMs: number, look?: Look): Promise<T> {
  const silent = () => coded("CONNECTION_CLOSED", "the server does not answer");
  const over = new AbortController();
  using time = deadline({ clock: systemClock, durationMs: answerMs, signal: over.signal }, silent);
  const ended = new AbortController();
  if (look) watch(look, ended.signal).catch(() => over.abort(silent()));
  try {
    return await unlessAborted(Promise.resolve(query), time.signal);
  } finally {
    ended.abort();
  }
}

/** Looks again and again until the signal aborts; rejects once a look did. */
async function watch(look: Look, ended: AbortSignal): Promise<void> {
  for (;;) {
    await systemClock.sleep(look.afterMs, ended).catch(() => {});
    if (ended.aborted) return;
    await look.isAnswered();
  }
}

/** Sets everything, so that the package reads nothing from this process's environment. */
async function optionsOf(
  url: CatalogUrl,
  at: CatalogHost,
  label: string,
): Promise<Options<{ number: typeof NUMBERS }> & { socket: () => Promise<Socket> }> {
  const { user = userName(), password, database, connect_timeout_ms } = url;
  return {
    ...at,
    socket: onlyOnce(async () =>
      (await openSocket(at, connect_timeout_ms)).setKeepAlive(true, KEEP_ALIVE_MS),
    ),
    user,
    // The file that libpq's programs read as well.
    password: async () => password?.reveal() ?? (await passwordAtHome({ ...at, database, user })) ?? "",
    database,
    ssl: at.host.startsWith("/") ? false : await tlsOf(url, { label, code: "storage" }),
    max: 1,
    // A statement that is prepared by name belongs to one session, and PgBouncer gives out another each time.
    prepare: false,
    fetch_types: false,
    types: { number: NUMBERS },
    idle_timeout: 0,
    connect_timeout: connect_timeout_ms / 1000,
    connection: { application_name: APPLICATION },
    onnotice: () => {},
  };
}
