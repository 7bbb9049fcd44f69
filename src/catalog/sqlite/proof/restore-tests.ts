import type { Database } from "bun:sqlite";
import type { Fence } from "../../fence.ts";
import type { RestoreTestRecord } from "../../records.ts";
import type { RestoreTests, TestStanding } from "../../restore-tests.ts";
import type { Do } from "../busy.ts";
import { fenced } from "../fleet/leases.ts";
import { equalTo, insertion, whereAll } from "../statements.ts";
import type { Row } from "../tables.ts";
import { fromRow, RESTORE_TESTS } from "../tables.ts";

/** The ids of each database's first test by `byStanding` with one of the outcomes. */
const newestIds = (outcomes: string) => `SELECT id FROM (
    SELECT id, row_number() OVER (PARTITION BY server, database
      ORDER BY min(backup_started_at, finished_at) DESC, finished_at DESC, id DESC) AS place
    FROM restore_tests WHERE outcome IN (${outcomes})) WHERE place = 1`;
const LATEST = newestIds("'PASSED', 'FAILED'");
const LATEST_PASSED = newestIds("'PASSED'");
export const BY_STORAGE: string = `SELECT storage, max(finished_at) AS finished_at FROM restore_tests
  WHERE server = $server AND database = $database AND storage IS NOT NULL AND outcome <> 'ERROR'
  GROUP BY storage ORDER BY storage`;
const PRUNE = `DELETE FROM restore_tests WHERE finished_at < $before
  AND server NOT IN (SELECT value FROM json_each($servers))
  AND id NOT IN (${LATEST}) AND id NOT IN (${LATEST_PASSED})`;

export const TESTED = "SELECT * FROM tested_databases ORDER BY server, database";

/** A row of `TESTED`. */
export function testStanding(row: Row): TestStanding {
  const jsonOf = (column: string) => JSON.parse((row[column] as string | null) ?? "null");
  const testOf = (column: string) => {
    const test: Row | null = jsonOf(column);
    return test && fromRow(RESTORE_TESTS, test);
  };
  const latest = testOf("latest");
  return {
    server: String(row["server"]),
    database: String(row["database"]),
    latest,
    passed: row["passed"] === row["latest"] ? latest : testOf("passed"),
    newest: jsonOf("newest"),
    recoveries: jsonOf("recoveries") ?? [],
  };
}

export class SqliteRestoreTests implements RestoreTests {
  readonly #database: Database;
  readonly #do: Do;

  constructor(database: Database, whileBusy: Do) {
    this.#database = database;
    this.#do = whileBusy;
  }

  add(record: RestoreTestRecord, fence?: Fence): Promise<void> {
    const [sql, row] = insertion("INSERT", RESTORE_TESTS, record);
    const add = () => void this.#database.query<never, Row>(`${sql} ON CONFLICT (id) DO NOTHING`).run(row);
    return this.#do("record a restore test", () => fenced(this.#database, fence, add));
  }

  list({ limit, ...wanted }: Parameters<RestoreTests["list"]>[0]): Promise<RestoreTestRecord[]> {
    const { where, values } = equalTo(wanted);
    return this.#select(`${whereAll(where)} ORDER BY finished_at DESC, id DESC LIMIT $limit`, {
      ...values,
      limit: limit ?? -1,
    });
  }

  standings(): Promise<TestStanding[]> {
    return this.#do("list the restore tests", () =>
      this.#database.query<Row, []>(TESTED).all().map(testStanding),
    );
  }

  latestByStorage(server: string, database: string): Promise<{ storage: string; finished_at: string }[]> {
    return this.#do("list the restore tests", () =>
      this.#database
        .query<{ storage: string; finished_at: string }, Row>(BY_STORAGE)
        .all({ server, database }),
    );
  }

  prune(before: string, exceptServers: readonly string[] = []): Promise<number> {
    const servers = JSON.stringify(exceptServers);
    return this.#do(
      "remove old restore tests",
      () => this.#database.query<never, Row>(PRUNE).run({ before, servers }).changes,
    );
  }

  #select(rest: string, values: Row): Promise<RestoreTestRecord[]> {
    return this.#do("list the restore tests", () =>
      this.#database
        .query<Row, Row>(`SELECT * FROM restore_tests ${rest}`)
        .all(values)
        .map((row) => fromRow(RESTORE_TESTS, row)),
    );
  }
}
