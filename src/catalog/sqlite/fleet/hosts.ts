import type { Database } from "bun:sqlite";
import { RUN_JOBS } from "../../../config/config.ts";
import type { HostRecord, Hosts } from "../../hosts.ts";
import type { RunRecord } from "../../records.ts";
import type { Do } from "../busy.ts";
import { upsert } from "../statements.ts";
import type { Row } from "../tables.ts";
import { fromRow, HOSTS, RUNS } from "../tables.ts";

export const ONE_HOST = "SELECT * FROM hosts WHERE host = $host";
export const ALL_HOSTS = "SELECT * FROM hosts ORDER BY host";
export const REMOVE_HOST =
  "DELETE FROM hosts WHERE host = $host AND (stopped_at IS NOT NULL OR heartbeat_at <= $silentSince)";
/** What only this host knew about itself. */
export const REMOVE_RECORDS: readonly string[] = [
  "clock_trust",
  "host_export",
  "recovery_kits",
  "storages",
].map((table) => `DELETE FROM ${table} WHERE host = $host`);
/** Each pair of host and job takes one step in the index `runs_by_host`. */
export const LAST_RUNS = `WITH jobs (job) AS (SELECT value FROM json_each($jobs))
  SELECT runs.* FROM hosts CROSS JOIN jobs JOIN runs ON runs.id = (
    SELECT id FROM runs AS one WHERE one.host = hosts.host AND one.job = jobs.job AND one.outcome <> 'SKIPPED'
    ORDER BY one.started_at DESC, one.id DESC LIMIT 1)
  ORDER BY runs.host, runs.job`;

export class SqliteHosts implements Hosts {
  readonly #database: Database;
  readonly #do: Do;

  constructor(database: Database, whileBusy: Do) {
    this.#database = database;
    this.#do = whileBusy;
  }

  put(record: HostRecord): Promise<void> {
    const [sql, row] = upsert(HOSTS, ["host"], record);
    return this.#do("record a host", () => void this.#database.query<never, Row>(sql).run(row));
  }

  async one(host: string): Promise<HostRecord | undefined> {
    const [row] = await this.#rows(ONE_HOST, { host });
    return row && fromRow(HOSTS, row);
  }

  async all(): Promise<HostRecord[]> {
    return (await this.#rows(ALL_HOSTS, {})).map((row) => fromRow(HOSTS, row));
  }

  forget(host: string, silentSince: string): Promise<boolean> {
    const run = (sql: string, values: Row) => this.#database.query<never, Row>(sql).run(values).changes;
    const forget = this.#database.transaction(() => {
      if (run(REMOVE_HOST, { host, silentSince }) !== 1) return false;
      for (const sql of REMOVE_RECORDS) run(sql, { host });
      return true;
    });
    return this.#do("remove a host", () => forget.immediate());
  }

  async lastRuns(): Promise<RunRecord[]> {
    const rows = await this.#rows(LAST_RUNS, { jobs: JSON.stringify(RUN_JOBS) });
    return rows.map((row) => fromRow(RUNS, row));
  }

  #rows(sql: string, values: Row): Promise<Row[]> {
    return this.#do("read the hosts", () => this.#database.query<Row, Row>(sql).all(values));
  }
}
