import type { Database } from "bun:sqlite";
import type { ClockRecords, ClockTrust } from "../clock-records.ts";
import type { Do } from "./busy.ts";
import type { Row } from "./tables.ts";

const TRUST = `SELECT trusted_at, CASE WHEN host IN ($host, '') THEN accepted_until END AS accepted_until
  FROM clock_trust ORDER BY host <> $host, trusted_at LIMIT 1`;
export const SET_TRUST = `INSERT INTO clock_trust (host, trusted_at, accepted_until)
  VALUES ($host, $trusted_at, $accepted_until)
  ON CONFLICT (host) DO UPDATE SET trusted_at = excluded.trusted_at, accepted_until = excluded.accepted_until`;
/** The host that this was about has its own record now. */
export const DROP_NAMELESS = "DELETE FROM clock_trust WHERE host = '' AND $host <> ''";
/** Each side takes one step in an index by time. */
const FIRST = `SELECT ifnull((SELECT started_at FROM runs WHERE id <> $except ORDER BY started_at LIMIT 1),
  (SELECT min(started_at) FROM backups)) AS at`;
const LAST_BY = `SELECT max(at) AS at FROM (SELECT max(started_at) AS at FROM runs WHERE started_at <= $until
  UNION ALL SELECT max(started_at) FROM backups WHERE started_at <= $until)`;

export class SqliteClockRecords implements ClockRecords {
  readonly #database: Database;
  readonly #do: Do;

  constructor(database: Database, whileBusy: Do) {
    this.#database = database;
    this.#do = whileBusy;
  }

  trust(host = ""): Promise<ClockTrust | undefined> {
    return this.#do(
      "read the record of the clock",
      () => this.#database.query<ClockTrust, Row>(TRUST).get({ host }) ?? undefined,
    );
  }

  setTrust({ trusted_at, accepted_until }: ClockTrust, host = ""): Promise<void> {
    const set = this.#database.transaction(() => {
      this.#database.query<never, Row>(DROP_NAMELESS).run({ host });
      this.#database.query<never, Row>(SET_TRUST).run({ host, trusted_at, accepted_until });
    });
    return this.#do("store the record of the clock", () => set.immediate());
  }

  first(except = ""): Promise<string | undefined> {
    return this.#time(FIRST, { except });
  }

  lastBy(until: string): Promise<string | undefined> {
    return this.#time(LAST_BY, { until });
  }

  #time(sql: string, values: Row): Promise<string | undefined> {
    return this.#do("read the time of a record", () => {
      const found = this.#database.query<{ at: string | null }, Row>(sql).get(values);
      return found?.at ?? undefined;
    });
  }
}
