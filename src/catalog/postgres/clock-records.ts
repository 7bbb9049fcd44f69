import type { ClockRecords, ClockTrust } from "../clock-records.ts";
import type { Row } from "../sqlite/tables.ts";
import type { Do } from "./transactions.ts";

const SET_TRUST = `INSERT INTO clock_trust VALUES (1, $trusted_at, $accepted_until)
  ON CONFLICT (single) DO UPDATE SET trusted_at = excluded.trusted_at, accepted_until = excluded.accepted_until`;
/** Each side takes one step in an index by time. */
const FIRST = `SELECT coalesce((SELECT started_at FROM runs WHERE id <> $except ORDER BY started_at LIMIT 1),
  (SELECT min(started_at) FROM backups)) AS at`;
const LAST_BY = `SELECT greatest((SELECT max(started_at) FROM runs WHERE started_at <= $until),
  (SELECT max(started_at) FROM backups WHERE started_at <= $until)) AS at`;

export class PostgresClockRecords implements ClockRecords {
  readonly #do: Do;

  constructor(transact: Do) {
    this.#do = transact;
  }

  trust(): Promise<ClockTrust | undefined> {
    const sql = "SELECT trusted_at, accepted_until FROM clock_trust";
    return this.#do("read the record of the clock", async ({ rows }) => (await rows<ClockTrust>(sql))[0]);
  }

  setTrust({ trusted_at, accepted_until }: ClockTrust): Promise<void> {
    return this.#do(
      "store the record of the clock",
      async ({ run }) => void (await run(SET_TRUST, { trusted_at, accepted_until })),
    );
  }

  first(except = ""): Promise<string | undefined> {
    return this.#time(FIRST, { except });
  }

  lastBy(until: string): Promise<string | undefined> {
    return this.#time(LAST_BY, { until });
  }

  #time(sql: string, values: Row): Promise<string | undefined> {
    return this.#do("read the time of a record", async ({ rows }) => {
      const [found] = await rows<{ at: string | null }>(sql, values);
      return found?.at ?? undefined;
    });
  }
}
