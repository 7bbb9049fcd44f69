import type { Fence } from "../../fence.ts";
import type { RestoreTestRecord } from "../../records.ts";
import type { RestoreTests, TestStanding } from "../../restore-tests.ts";
import { BY_STORAGE, TESTED, testStanding } from "../../sqlite/proof/restore-tests.ts";
import { equalTo, insertion, whereAll } from "../../sqlite/statements.ts";
import { RESTORE_TESTS, type Row } from "../../sqlite/tables.ts";
import { fencedDo } from "../fleet/leases.ts";
import { recordsOf } from "../records.ts";
import type { Do } from "../transactions.ts";

/** The ids of each database's first test by `byStanding` with one of the outcomes. */
const newestIds = (outcomes: string) => `SELECT id FROM (
    SELECT id, row_number() OVER (PARTITION BY server, database
      ORDER BY least(backup_started_at, finished_at) DESC, finished_at DESC, id DESC) AS place
    FROM restore_tests WHERE outcome IN (${outcomes})) AS ranked WHERE place = 1`;
const LATEST = newestIds("'PASSED', 'FAILED'");
const LATEST_PASSED = newestIds("'PASSED'");
const PRUNE = `DELETE FROM restore_tests WHERE finished_at < $before
  AND server NOT IN (SELECT value FROM json_each($servers))
  AND id NOT IN (${LATEST}) AND id NOT IN (${LATEST_PASSED})`;

export class PostgresRestoreTests implements RestoreTests {
  readonly #do: Do;

  constructor(transact: Do) {
    this.#do = transact;
  }

  add(record: RestoreTestRecord, fence?: Fence): Promise<void> {
    const [sql, row] = insertion("INSERT", RESTORE_TESTS, record);
    return fencedDo(this.#do, fence)(
      "record a restore test",
      async ({ run }) => void (await run(`${sql} ON CONFLICT (id) DO NOTHING`, row)),
    );
  }

  list({ limit, ...wanted }: Parameters<RestoreTests["list"]>[0]): Promise<RestoreTestRecord[]> {
    const { where, values } = equalTo(wanted);
    const rest = `${whereAll(where)} ORDER BY finished_at DESC, id DESC LIMIT $limit`;
    return this.#select(rest, { ...values, limit: limit ?? null });
  }

  standings(): Promise<TestStanding[]> {
    return this.#do("list the restore tests", async ({ rows }) => (await rows(TESTED)).map(testStanding));
  }

  latestByStorage(server: string, database: string): Promise<{ storage: string; finished_at: string }[]> {
    return this.#do("list the restore tests", ({ rows }) => rows(BY_STORAGE, { server, database }));
  }

  prune(before: string, exceptServers: readonly string[] = []): Promise<number> {
    const servers = JSON.stringify(exceptServers);
    return this.#do("remove old restore tests", ({ run }) => run(PRUNE, { before, servers }));
  }

  #select(rest: string, values: Row): Promise<RestoreTestRecord[]> {
    return this.#do("list the restore tests", (transaction) =>
      recordsOf(transaction, RESTORE_TESTS, rest, values),
    );
  }
}
