import { RUN_JOBS } from "../../../config/config.ts";
import type { HostRecord, Hosts } from "../../hosts.ts";
import type { RunRecord } from "../../records.ts";
import { ALL_HOSTS, LAST_RUNS, ONE_HOST, REMOVE_HOST, REMOVE_RECORDS } from "../../sqlite/fleet/hosts.ts";
import { upsert } from "../../sqlite/statements.ts";
import type { Row } from "../../sqlite/tables.ts";
import { fromRow, HOSTS, RUNS } from "../../sqlite/tables.ts";
import type { Do } from "../transactions.ts";

export class PostgresHosts implements Hosts {
  readonly #do: Do;

  constructor(transact: Do) {
    this.#do = transact;
  }

  put(record: HostRecord): Promise<void> {
    const statement = upsert(HOSTS, ["host"], record);
    return this.#do("record a host", async ({ run }) => void (await run(...statement)));
  }

  async one(host: string): Promise<HostRecord | undefined> {
    const [row] = await this.#rows(ONE_HOST, { host });
    return row && fromRow(HOSTS, row);
  }

  async all(): Promise<HostRecord[]> {
    return (await this.#rows(ALL_HOSTS, {})).map((row) => fromRow(HOSTS, row));
  }

  forget(host: string, silentSince: string): Promise<boolean> {
    return this.#do("remove a host", async ({ run }) => {
      if ((await run(REMOVE_HOST, { host, silentSince })) !== 1) return false;
      for (const sql of REMOVE_RECORDS) await run(sql, { host });
      return true;
    });
  }

  async lastRuns(): Promise<RunRecord[]> {
    const rows = await this.#rows(LAST_RUNS, { jobs: JSON.stringify(RUN_JOBS) });
    return rows.map((row) => fromRow(RUNS, row));
  }

  #rows(sql: string, values: Row): Promise<Row[]> {
    return this.#do("read the hosts", ({ rows }) => rows(sql, values));
  }
}
