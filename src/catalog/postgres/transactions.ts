import type { Clock } from "../../base/clock.ts";
import { coded } from "../../base/network/one-socket.ts";
import { type RetryPolicy, retry } from "../../base/retry.ts";
import type { CatalogUrl } from "../../config/catalog-url.ts";
import { type CallMark, UnsettledChangeError } from "../spool/unreachable.ts";
import type { Binding, Row } from "../sqlite/tables.ts";
import { Calls, hasHappened, markStatement, type Whereabouts } from "./calls.ts";
import { catalogError, isConflict, isLost, type Login, loginOf, NoSession } from "./errors.ts";
import { type Beginning, Session } from "./session.ts";

/** The statements of one transaction. Values are named as in SQLite's: `$server`. */
export interface Transaction {
  /** The rows of a statement; `R` says what they are, in the words of the interface. */
  rows<R = Row>(sql: string, values?: Row): Promise<R[]>;
  /** Returns the number of rows that it changed. */
  run(sql: string, values?: Row): Promise<number>;
  /** Runs several statements without values. */
  script(text: string): Promise<void>;
  /** Makes others with the same words wait until the end of the transaction. */
  lock(...words: string[]): Promise<void>;
}

/**
 * Runs the work in one transaction, which is durable when it returns; `doing` names it in errors. The work may be
 * called again, after a conflict with another session.
 */
export type Do = <T>(doing: string, work: (transaction: Transaction) => Promise<T>) => Promise<T>;

const WRITING: Beginning = {
  mode: "ISOLATION LEVEL READ COMMITTED",
  statementSeconds: 60,
  lockSeconds: 10,
  idleSeconds: 60,
};
/** A migration may build an index of millions of records on a slow disk: cut off, it would fail again at every start. */
const SLOW: Beginning = { ...WRITING, statementSeconds: 6 * 3600, lockSeconds: 50, idleSeconds: 600 };
/** Retention's plan is made while it is open. */
const SNAPSHOT: Beginning = {
  mode: "ISOLATION LEVEL REPEATABLE READ READ ONLY",
  statementSeconds: 60,
  lockSeconds: 10,
  idleSeconds: 3600,
};
/** A report of some statements. */
const AT_ONE_MOMENT: Beginning = { ...SNAPSHOT, idleSeconds: WRITING.idleSeconds };
const CONFLICT_RETRY: RetryPolicy = { attempts: 10, delayMs: 20, delayMsMax: 500 };
/** A fail-over or a restart of the server takes some seconds. */
const LOST_RETRY: RetryPolicy = { attempts: 5, delayMs: 200, delayMsMax: 2000 };
const LOCK = "SELECT pg_advisory_xact_lock(hashtextextended($words, 321))";

/** With a spool a call must not wait long: the run behind it goes on without the catalog. */
const SPOOLED_RETRY: RetryPolicy = { attempts: 3, delayMs: 100, delayMsMax: 500 };
const SPOOLED_RETRY_MS = 5_000;

/** The result of COMMIT is unknown, so nothing may be done twice. */
class CommitLost extends Error {
  readonly mark: CallMark;

  constructor(mark: CallMark, cause: unknown) {
    super("the connection was lost during COMMIT", { cause });
    this.mark = mark;
  }
}

export interface TransactionsOptions {
  /**
   * After a call that the server did not answer, every later one fails at once, until `revive`: the caller goes on
   * without the catalog.
   */
  failsFast?: boolean;
}

/**
 * The transactions of one catalog, one after the other in one session, which is opened when it is needed. A lost
 * session is replaced; the next one may be of another host.
 */
export class Transactions implements AsyncDisposable {
  readonly label: string;
  readonly login: Login;
  readonly #url: CatalogUrl;
  readonly #clock: Clock;
  readonly #failsFast: boolean;
  #calls = new Calls();
  #session: Session | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  /** Why nothing is tried any more; undefined while calls are tried. */
  #down: unknown;
  #isMarking = false;

  constructor(url: CatalogUrl, clock: Clock, { failsFast = false }: TransactionsOptions = {}) {
    this.#url = url;
    this.#clock = clock;
    this.#failsFast = failsFast;
    this.login = loginOf(url);
    this.label = this.login.label;
  }

  readonly do: Do = (doing, work) => this.#inTurn(doing, () => this.#transact(work, WRITING));

  /** Like `do`, for work that waits until other daemons have done the same. */
  readonly doSlowly: Do = (doing, work) => this.#inTurn(doing, () => this.#transact(work, SLOW));

  /** Like `do`, for statements that only read: all of them see the state of one moment. */
  readonly readAtOneMoment: Do = (doing, work) =>
    this.#inTurn(doing, () => this.#transact(work, AT_ONE_MOMENT));

  /** Call it once the schema is there: from then on a COMMIT that was not answered can be settled. */
  beginMarking(): void {
    this.#isMarking = true;
  }

  /** Lets calls be tried again; see `TransactionsOptions`. */
  revive(): void {
    this.#down = undefined;
  }

  /** A transaction in a session of its own that sees nothing later. Ends when it is disposed of. Its errors are explained. */
  async snapshot(doing: string): Promise<Transaction & AsyncDisposable> {
    const open = async () => {
      const session = await this.#connect();
      try {
        await session.begin(SNAPSHOT);
        // The transaction sees the state at its first read.
        await session.execute("SELECT 1 FROM backups LIMIT 1", {});
        return session;
      } catch (error) {
        await session[Symbol.asyncDispose]();
        throw error;
      }
    };
    const session = await this.#again(doing, open);
    return {
      ...explained(statementsOf(session), (error) => catalogError(this.login, doing, error)),
      async [Symbol.asyncDispose]() {
        await session[Symbol.asyncDispose]();
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#turn.catch(() => {});
    const { removal } = this.#calls;
    if (removal !== undefined) await this.#session?.script(removal).catch(() => {});
    await this.#drop();
  }

  /** One after the other, so that calls of one process take effect in their order. */
  #inTurn<T>(doing: string, operation: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(() => this.#again(doing, operation));
    this.#turn = mine.catch(() => {});
    return mine;
  }

  async #again<T>(doing: string, operation: () => Promise<T>): Promise<T> {
    if (this.#down !== undefined) throw catalogError(this.login, doing, this.#down);
    try {
      return await this.#whileLost(() =>
        retry(CONFLICT_RETRY, { clock: this.#clock, isRetryable: isConflict }, operation),
      );
    } catch (error) {
      if (!(error instanceof CommitLost)) {
        if (this.#failsFast && (isLost(error) || error instanceof NoSession)) this.#down = error;
        throw catalogError(this.login, doing, error);
      }
      if (this.#failsFast) this.#down = error.cause;
      throw new UnsettledChangeError(error.mark, "storage", `${this.label}: ${error.message} (${doing})`, {
        cause: error.cause,
        retryable: true,
        hint: "the change may have been stored or not; run the command again",
      });
    }
  }

  #whileLost<T>(operation: () => Promise<T>): Promise<T> {
    const clock = this.#clock;
    const untilMs = this.#failsFast ? clock.monotonicMs() + SPOOLED_RETRY_MS : Number.POSITIVE_INFINITY;
    const isRetryable = (error: unknown) => isLost(error) && clock.monotonicMs() < untilMs;
    return retry(this.#failsFast ? SPOOLED_RETRY : LOST_RETRY, { clock, isRetryable }, operation);
  }

  async #transact<T>(work: (transaction: Transaction) => Promise<T>, beginning: Beginning): Promise<T> {
    const session = await this.#current();
    try {
      // Sent together with the first statement: if BEGIN fails the session is lost, and the statement with it.
      const begun = session.begin(beginning);
      begun.catch(() => {});
      const statements = statementsOf(session);
      const result = await work(statements);
      const at = await begun;
      if (await this.#commit(session, statements.hasChanged(), at)) return result;
      throw coded("CONNECTION_CLOSED", "the connection was lost during COMMIT");
    } catch (error) {
      if (!session.isLost) await session.script("ROLLBACK").catch(() => {});
      if (isLost(error)) await this.#drop();
      throw error;
    } finally {
      // The primary may be back.
      if (session.isReadOnly || session.isLost) await this.#drop();
    }
  }

  /** Returns false if the transaction did not happen, because its COMMIT was lost on the way. */
  async #commit(session: Session, hasChanged: boolean, at: Whereabouts | undefined): Promise<boolean> {
    const mark = hasChanged && this.#isMarking ? this.#calls.next() : undefined;
    try {
      await session.script(mark === undefined ? "COMMIT" : `${markStatement(mark)}; COMMIT`);
      return true;
    } catch (error) {
      // The server's own refusal, such as a constraint that is checked at the end, is an answer. Without a change it is
      // the same as a session lost earlier.
      if (!session.isLost || !hasChanged) throw error;
      if (mark === undefined) throw new CommitLost({ process: "", number: 0 }, error);
      await this.#drop();
      return await this.#settle(mark, at, error);
    }
  }

  /** Asks in a new session. Rejects with `CommitLost` if none can be had. */
  async #settle(mark: CallMark, at: Whereabouts | undefined, cause: unknown): Promise<boolean> {
    try {
      return await this.#whileLost(() =>
        retry(CONFLICT_RETRY, { clock: this.#clock, isRetryable: isConflict }, async () => {
          const session = await this.#current();
          try {
            await session.begin(WRITING);
            const happened = await hasHappened(statementsOf(session), mark, at);
            await session.script("COMMIT");
            return happened;
          } catch (error) {
            if (session.isLost || isLost(error)) await this.#drop();
            else await session.script("ROLLBACK").catch(() => {});
            throw error;
          }
        }),
      );
    } catch {
      // Its number must stay for the one who settles it, so later calls count under another id.
      this.#calls = new Calls();
      throw new CommitLost(mark, cause);
    }
  }

  async #current(): Promise<Session> {
    this.#session ??= await this.#connect();
    return this.#session;
  }

  async #drop(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    await session?.[Symbol.asyncDispose]();
  }

  /** The first host that accepts writes; if none does, one that can be read. */
  async #connect(): Promise<Session> {
    let readOnly: Session | undefined;
    let refusal: unknown;
    for (const host of this.#url.hosts) {
      try {
        const session = await Session.open(this.#url, host, this.label);
        if (!session.isReadOnly) {
          await readOnly?.[Symbol.asyncDispose]();
          return session;
        }
        if (readOnly) await session[Symbol.asyncDispose]();
        readOnly ??= session;
      } catch (error) {
        refusal ??= error;
      }
    }
    if (readOnly) return readOnly;
    throw this.#failsFast ? new NoSession(refusal) : refusal;
  }
}

/** The same statements, whose errors go through `explain`. */
function explained(statements: Transaction, explain: (error: unknown) => unknown): Transaction {
  const told = <T>(result: Promise<T>): Promise<T> =>
    result.catch((error: unknown) => {
      throw explain(error);
    });
  return {
    rows: (...given) => told(statements.rows(...given)),
    run: (...given) => told(statements.run(...given)),
    script: (...given) => told(statements.script(...given)),
    lock: (...given) => told(statements.lock(...given)),
  };
}

function statementsOf(session: Session): Transaction & { hasChanged: () => boolean } {
  let hasChanged = false;
  return {
    hasChanged: () => hasChanged,
    rows: async <R>(sql: string, values: Row = {}) =>
      (await session.execute(sql, values)).rows as unknown as R[],
    run: async (sql, values = {}) => {
      hasChanged = true;
      return (await session.execute(sql, values)).count;
    },
    script: async (text) => {
      hasChanged = true;
      await session.script(text);
    },
    lock: async (...words) => void (await session.execute(LOCK, { words: words.join(" ") as Binding })),
  };
}
