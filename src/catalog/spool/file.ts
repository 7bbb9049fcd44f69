import type { Database } from "bun:sqlite";
import type { Clock } from "../../base/clock.ts";
import { Pg321Error } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Catalog } from "../catalog.ts";
import type { Fence } from "../fence.ts";
import type { LeaseHolder } from "../records.ts";
import { whileBusy } from "../sqlite/busy.ts";
import { openSqliteFile } from "../sqlite/sqlite.ts";
import { upsert } from "../sqlite/statements.ts";
import { LEASES, type Row } from "../sqlite/tables.ts";
import type { Call } from "./calls.ts";
import { REFUSED_TABLES, reportedErrors } from "./refused.ts";
import type { SpoolStatus } from "./status.ts";
import type { CallMark } from "./unreachable.ts";

const TABLES = `${REFUSED_TABLES}
  CREATE TABLE IF NOT EXISTS spool (
    single INTEGER PRIMARY KEY CHECK (single = 1),
    id TEXT NOT NULL,
    known_at TEXT,
    place TEXT,
    delivering INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  CREATE TABLE IF NOT EXISTS journal (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    call TEXT NOT NULL,
    mark TEXT,
    at TEXT NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS fleet_knowledge (
    single INTEGER PRIMARY KEY CHECK (single = 1),
    known_at TEXT NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS outage (
    single INTEGER PRIMARY KEY CHECK (single = 1),
    since TEXT NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS carried_leases (
    name TEXT NOT NULL,
    run_id TEXT NOT NULL,
    token INTEGER NOT NULL,
    catalog_token INTEGER,
    is_lost INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (name, run_id)
  ) STRICT;`;

/** A change that waits for the catalog. */
export interface Entry {
  /** Rises in the order of the changes, and is never used again. */
  number: number;
  call: Call;
  /** The change was tried, and its COMMIT was not answered. */
  mark: CallMark | undefined;
}

/** A lease of this host that outlived an outage. */
export interface CarriedLease {
  name: string;
  run_id: string;
  /** The token that the run behind it shows. */
  token: number;
  /** The token that the catalog expects; null: the lease is lost there, or the outage is not over. */
  catalog_token: number | null;
  /** 1: another run has the lease in the catalog, or may have had it since ours was last renewed there. This stays so. */
  is_lost: number;
}

/**
 * The file of a host for the time in which its catalog is unreachable: a catalog of SQLite with the host's last
 * knowledge, and the journal of the changes that wait. All processes of the host use it.
 */
export class SpoolFile implements AsyncDisposable {
  readonly path: string;
  /** The last knowledge. Only the methods of this class change it. */
  readonly catalog: Catalog;
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #carriedHere = new Set<string>();
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(path: string, clock: Clock, opened: { catalog: Catalog; database: Database }) {
    this.path = path;
    this.catalog = opened.catalog;
    this.#database = opened.database;
    this.#clock = clock;
    this.#database.run(TABLES);
    this.#database.run("INSERT INTO spool (single, id) VALUES (1, ?) ON CONFLICT DO NOTHING", [
      crypto.randomUUID(),
    ]);
  }

  /** Creates the file if there is none. Throws code `storage` if it cannot be written. */
  static async open(path: string, clock: Clock, log?: Log): Promise<SpoolFile> {
    const opened = await openSqliteFile(path, clock, log);
    if (opened.unwritable === undefined)
      return await whileBusy(path, "open", clock, () => new SpoolFile(path, clock, opened));
    await opened.catalog[Symbol.asyncDispose]();
    throw new Pg321Error("storage", `${path}: the disk is ${opened.unwritable}`);
  }

  /** Makes a change in the knowledge and appends it to the journal, all or nothing. */
  append<T>(change: () => Promise<{ result: T; call: Call | undefined }>, mark?: CallMark): Promise<T> {
    return this.inTransaction("append to the journal", async () => {
      const { result, call } = await change();
      const at = this.#clock.now().toISOString();
      if (call !== undefined)
        this.#database.run("INSERT INTO journal (call, mark, at) VALUES (?, ?, ?)", [
          JSON.stringify(call),
          mark === undefined ? null : JSON.stringify(mark),
          at,
        ]);
      return result;
    });
  }

  /** Work in one transaction of the file. Only the file itself may be awaited in it, or a reader of the catalog. */
  inTransaction<T>(doing: string, work: (database: Database) => Promise<T>): Promise<T> {
    const mine = this.#turn.then(() => this.#transact(doing, work));
    this.#turn = mine.catch(() => {});
    return mine;
  }

  async #transact<T>(doing: string, work: (database: Database) => Promise<T>): Promise<T> {
    const database = this.#database;
    await whileBusy(this.path, doing, this.#clock, () => database.run("BEGIN IMMEDIATE"));
    try {
      const result = await work(database);
      await whileBusy(this.path, doing, this.#clock, () => database.run("COMMIT"));
      return result;
    } catch (error) {
      if (database.inTransaction) database.run("ROLLBACK");
      throw error;
    }
  }

  /** The id of this file: if it is lost, the numbers of the next one begin again. */
  get id(): string {
    return String(this.#row<{ id: string }>("SELECT id FROM spool")?.id);
  }

  /** The last number whose delivery was begun. */
  delivering(): number {
    return this.#row<{ delivering: number }>("SELECT delivering FROM spool")?.delivering ?? 0;
  }

  /** Call it before the delivery of a change, so that a file from an older backup shows itself; see `renewId`. */
  beginDelivery({ number }: Entry): Promise<void> {
    return this.inTransaction("begin a delivery", async (database) => {
      database.run("UPDATE spool SET delivering = max(delivering, ?)", [number]);
    });
  }

  /** The catalog has only those up to this number any more. */
  forgetDeliveries(number: number): Promise<void> {
    return this.inTransaction("forget deliveries", async (database) => {
      database.run("UPDATE spool SET delivering = ?", [number]);
    });
  }

  /** Under another id no number counts as delivered. */
  renewId(from: string): Promise<void> {
    return this.inTransaction("take a new id", async (database) => {
      database.run("UPDATE spool SET id = ? WHERE id = ?", [crypto.randomUUID(), from]);
    });
  }

  /** The oldest change that waits. */
  first(): Entry | undefined {
    const row = this.#row<{ number: number; call: string; mark: string | null }>(
      "SELECT number, call, mark FROM journal ORDER BY number LIMIT 1",
    );
    if (!row) return undefined;
    return {
      number: row.number,
      call: JSON.parse(row.call) as Call,
      mark: row.mark === null ? undefined : (JSON.parse(row.mark) as CallMark),
    };
  }

  isEmpty(): boolean {
    return this.#row("SELECT 1 FROM journal LIMIT 1") === null;
  }

  waiting(): number {
    return this.#row<{ count: number }>("SELECT count(*) AS count FROM journal")?.count ?? 0;
  }

  /** The ids of the backups whose first record waits. */
  waitingBackups(): Set<string> {
    const sql = `SELECT json_extract(call, '$.args[0].id') AS id FROM journal
      WHERE json_extract(call, '$.method') = 'insertBackup'`;
    return new Set(
      this.#database
        .query<{ id: string }, []>(sql)
        .all()
        .map(({ id }) => id),
    );
  }

  /** Those that the catalog has refused lately, and that nobody has acknowledged. */
  refused(): Pick<SpoolStatus, "refused" | "refused_error"> {
    const errors = reportedErrors(this.#database, this.#clock);
    return { refused: errors.length, refused_error: errors[0] ?? null };
  }

  /** Removes a change that was delivered, or is kept among the refused ones with the error. */
  settle({ number }: Entry, error?: string): Promise<void> {
    return this.inTransaction("settle a record", async (database) => {
      if (error !== undefined)
        database.run(
          "INSERT OR IGNORE INTO refused SELECT number, call, ?, ? FROM journal WHERE number = ?",
          [error, this.#clock.now().toISOString(), number],
        );
      database.run("DELETE FROM journal WHERE number <= ?", [number]);
    });
  }

  /** When the knowledge was last brought up to date as a whole; undefined if it never was. */
  knownAt(): string | undefined {
    return this.#row<{ known_at: string | null }>("SELECT known_at FROM spool")?.known_at ?? undefined;
  }

  /** When the hosts and open alerts were last read; undefined if they never were. */
  fleetKnownAt(): string | undefined {
    const row = this.#row<{ known_at: string }>("SELECT known_at FROM fleet_knowledge");
    return row?.known_at ?? this.knownAt();
  }

  /** When a process of this host lost the catalog; undefined if one has read from it since. */
  outageSince(): string | undefined {
    const since = this.#row<{ since: string }>("SELECT since FROM outage")?.since;
    return since !== undefined && since > (this.fleetKnownAt() ?? "") ? since : undefined;
  }

  beginOutage(since: string): Promise<void> {
    return this.inTransaction("record the outage", async (database) => {
      const sql =
        "INSERT INTO outage VALUES (1, ?) ON CONFLICT (single) DO UPDATE SET since = excluded.since";
      if (this.outageSince() === undefined) database.run(sql, [since]);
    });
  }

  /** False if something waits: then the outage is not over. */
  endOutage(): Promise<boolean> {
    return this.inTransaction("end the outage", async (database) => {
      if (!this.isEmpty()) return false;
      database.run("DELETE FROM outage");
      return true;
    });
  }

  /** Where the knowledge comes from; undefined if there is none. */
  place(): string | undefined {
    return this.#row<{ place: string | null }>("SELECT place FROM spool")?.place ?? undefined;
  }

  /** A lease that was taken or renewed while the catalog was unreachable. */
  carried(name: string, runId: string): CarriedLease | undefined {
    const sql = "SELECT * FROM carried_leases WHERE name = ? AND run_id = ?";
    return this.#database.query<CarriedLease, string[]>(sql).get(name, runId) ?? undefined;
  }

  carriedWith({ name, token }: Fence): CarriedLease | undefined {
    const sql = "SELECT * FROM carried_leases WHERE name = ? AND token = ?";
    return this.#database.query<CarriedLease, [string, number]>(sql).get(name, token) ?? undefined;
  }

  /** `isTaken`: the catalog does not know this lease, because it was not renewed but taken here. */
  carry(name: string, runId: string, { isTaken = false } = {}): void {
    this.#database.run(
      `INSERT INTO carried_leases
        SELECT name, run_id, token, NULL, ? FROM leases WHERE name = ? AND run_id = ?
        ON CONFLICT (name, run_id) DO UPDATE SET token = excluded.token,
          catalog_token = CASE excluded.is_lost WHEN 0 THEN catalog_token END,
          is_lost = max(is_lost, excluded.is_lost)`,
      [isTaken ? 1 : 0, name, runId],
    );
    this.#carriedHere.add(`${runId} ${name}`);
  }

  /** Whether this process took or renewed the lease while the catalog was unreachable. */
  isCarriedHere({ name, run_id }: Pick<LeaseHolder, "name" | "run_id">): boolean {
    return this.#carriedHere.has(`${run_id} ${name}`);
  }

  /** Forgets the leases of runs that have ended without a release, such as those of killed processes. */
  dropDeadLeases(isHeld: (lease: LeaseHolder) => boolean): Promise<void> {
    return this.inTransaction("forget the leases of ended runs", async (database) => {
      const leases = await this.catalog.leases();
      const sql = "SELECT name, run_id FROM carried_leases";
      for (const { name, run_id } of database.query<{ name: string; run_id: string }, []>(sql).all()) {
        const lease = leases.find((one) => one.name === name && one.run_id === run_id);
        if (!lease || !isHeld(lease)) this.dropCarried(name, run_id);
      }
    });
  }

  /** `token`: the one that the catalog expects; undefined: the lease is lost there. */
  setCatalogToken(name: string, runId: string, token: number | undefined): void {
    const sql = `UPDATE carried_leases SET catalog_token = CASE WHEN is_lost = 0 THEN $token END,
      is_lost = max(is_lost, $token IS NULL) WHERE name = $name AND run_id = $runId`;
    this.#database.query<never, Row>(sql).run({ token: token ?? null, name, runId });
  }

  dropCarried(name: string, runId: string): void {
    this.#database.run("DELETE FROM carried_leases WHERE name = ? AND run_id = ?", [name, runId]);
    this.#carriedHere.delete(`${runId} ${name}`);
  }

  /** Stores a lease that the catalog has given, whatever is known about it here. */
  putLease(lease: LeaseHolder): void {
    const [sql, row] = upsert(LEASES, ["name"], lease);
    this.#database.query<never, Row>(sql).run(row);
  }

  setLeaseToken(name: string, runId: string, token: number): void {
    this.#database.run("UPDATE leases SET token = ? WHERE name = ? AND run_id = ?", [token, name, runId]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#turn;
    await this.catalog[Symbol.asyncDispose]();
  }

  #row<R>(sql: string): R | null {
    return this.#database.query<R, []>(sql).get();
  }
}
