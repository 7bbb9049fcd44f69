import type { ClockRecords, ClockTrust } from "../clock-records.ts";
import { DROP_NAMELESS, SET_TRUST } from "../sqlite/clock-records.ts";
import type { Row } from "../sqlite/tables.ts";
import { NOW } from "./migration/totals.ts";
import type { Do } from "./transactions.ts";

/** Another host's clock may be ahead of the server's: so far ahead it vouches for no other clock. */
const TRUST = `SELECT CASE WHEN host = $host THEN trusted_at ELSE least(trusted_at, ${NOW}) END AS trusted_at,
    CASE WHEN host IN ($host, '') THEN accepted_until END AS accepted_until
  FROM clock_trust ORDER BY host <> $host, clock_trust.trusted_at LIMIT 1`;
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

  trust(host = ""): Promise<ClockTrust | undefined> {
    return this.#do(
      "read the record of the clock",
      async ({ rows }) => (await rows<ClockTrust>(TRUST, { host }))[0],
    );
  }

  setTrust({ trusted_at, accepted_until }: ClockTrust, host = ""): Promise<void> {
    return this.#do("store the record of the clock", async ({ run }) => {
      await run(DROP_NAMELESS, { host });
      await run(SET_TRUST, { host, trusted_at, accepted_until });
    });
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
