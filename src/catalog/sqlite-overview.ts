import type { Database } from "bun:sqlite";
import { setImmediate } from "node:timers/promises";
import type { BackupRecord, Job, RunOutcome, RunRecord } from "./catalog.ts";
import type {
  BackupPoint,
  CopyTotal,
  DatabaseRecord,
  LatestBackups,
  LatestRuns,
  Overview,
  RunTotal,
  ScheduleRuns,
  StorageLook,
  StorageRecord,
} from "./overview.ts";
import { BACKUPS, fromRow, type Row, RUNS } from "./sqlite-tables.ts";

type Do = <T>(doing: string, operation: () => T) => Promise<T>;

const SEE_SCHEDULE = `INSERT INTO schedules VALUES ($name, $pattern, $at)
  ON CONFLICT (name) DO UPDATE SET since = $at, pattern = $pattern WHERE pattern <> $pattern`;
const SEE_DATABASE = `INSERT INTO databases VALUES ($server, $database, $at, $at, NULL)
  ON CONFLICT DO UPDATE SET last_seen_at = $at, gone_at = NULL`;
const MISS_DATABASES = `UPDATE databases SET gone_at = $at WHERE server = $server AND gone_at IS NULL
  AND database NOT IN (SELECT value FROM json_each($databases))`;
const SEE_STORAGE = `INSERT INTO storages (name, checked_at, check_error, free_bytes, total_bytes, errors, last_error, last_error_at)
  VALUES ($name, $checked_at, $check_error, $free_bytes, $total_bytes, $failed, $check_error, iif($failed, $checked_at, NULL))
  ON CONFLICT (name) DO UPDATE SET checked_at = $checked_at, check_error = $check_error, free_bytes = $free_bytes,
    total_bytes = $total_bytes, errors = errors + $failed, last_error = ifnull($check_error, last_error),
    last_error_at = iif($failed, $checked_at, last_error_at)`;
/**
 * Every server, and every database of each, by steps from one to the next in the index. Two columns compared at once
 * would walk through all backups of a server instead.
 */
const NAMES = `WITH RECURSIVE
  servers (server) AS (
    SELECT min(server) FROM backups
    UNION ALL
    SELECT (SELECT min(server) FROM backups WHERE server > servers.server)
    FROM servers WHERE servers.server IS NOT NULL),
  names (server, database) AS (
    SELECT server, (SELECT min(database) FROM backups WHERE server = servers.server)
    FROM servers WHERE server IS NOT NULL
    UNION ALL
    SELECT server, (SELECT min(database) FROM backups WHERE server = names.server AND database > names.database)
    FROM names WHERE database IS NOT NULL)
  SELECT server, database FROM names WHERE database IS NOT NULL ORDER BY server, database`;
/** Later than any. */
const NO_END = "9999";
const NEWEST_GOOD = `SELECT * FROM backups WHERE server = $server AND database = $database AND started_at <= $until
  AND status IN ('VERIFIED', 'PARTIAL')
  AND EXISTS (SELECT 1 FROM copies WHERE backup_id = backups.id AND state = 'CONFIRMED')
  ORDER BY started_at DESC, id DESC LIMIT 1`;
const NEWEST_ENDED = `SELECT * FROM backups WHERE server = $server AND database = $database AND started_at <= $until
  AND status <> 'RUNNING' ORDER BY started_at DESC, id DESC LIMIT 1`;
const RECENT_BACKUPS = `SELECT id, status, started_at, finished_at, dump_bytes, object_bytes FROM backups
  WHERE server = $server AND database = $database AND status <> 'RUNNING'
  ORDER BY started_at DESC, id DESC LIMIT $limit`;
/** After every time in a record. */
const END_OF_TIME = "9999";
const LAST_SCHEDULED = `SELECT * FROM runs WHERE schedule = $schedule AND scheduled_for <= $until
  ORDER BY scheduled_for DESC, started_at DESC, id DESC LIMIT 1`;
/** An index on job, outcome and time answers each of them. */
const NEWEST_RUN = `SELECT * FROM runs WHERE job = $job AND outcome = $outcome
  ORDER BY started_at DESC, id DESC LIMIT 1`;
const NEWEST_OF_SCHEDULE = `SELECT * FROM runs WHERE schedule = $schedule AND outcome NOT IN ('RUNNING', 'SKIPPED')
  ORDER BY scheduled_for DESC, started_at DESC, id DESC LIMIT 1`;
const SKIPPED_IN_A_ROW = `SELECT count(*) AS skipped FROM runs
  WHERE schedule = $schedule AND outcome = 'SKIPPED' AND scheduled_for > ifnull((
    SELECT scheduled_for FROM runs WHERE schedule = $schedule AND outcome <> 'SKIPPED'
    ORDER BY scheduled_for DESC LIMIT 1), '')`;
/** Databases that are looked at without a pause. */
const NAMES_AT_ONCE = 50;
const ENDED: readonly RunOutcome[] = ["OK", "PARTIAL", "FAILED", "INTERRUPTED"];

/** The part of the SQLite catalog that `/status` and the metrics ask. */
export class SqliteOverview implements Overview {
  readonly #database: Database;
  readonly #do: Do;

  constructor(database: Database, whileBusy: Do) {
    this.#database = database;
    this.#do = whileBusy;
  }

  seeSchedule(name: string, pattern: string, at: string): Promise<string> {
    const see = this.#database.transaction(() => {
      this.#run(SEE_SCHEDULE, { name, pattern, at });
      return String(this.#rows("SELECT since FROM schedules WHERE name = $name", { name })[0]?.["since"]);
    });
    return this.#do("remember a schedule", () => see.immediate());
  }

  seeDatabases(server: string, databases: readonly string[], at: string): Promise<void> {
    const see = this.#database.transaction(() => {
      this.#run(MISS_DATABASES, { server, at, databases: JSON.stringify(databases) });
      for (const database of databases) this.#run(SEE_DATABASE, { server, database, at });
    });
    return this.#do("remember databases", () => see.immediate());
  }

  databases(): Promise<DatabaseRecord[]> {
    return this.#read("databases", "SELECT * FROM databases ORDER BY server, database");
  }

  seeStorage(name: string, look: StorageLook): Promise<void> {
    const failed = Number(look.check_error !== null);
    return this.#do("remember a storage", () => this.#run(SEE_STORAGE, { name, ...look, failed }));
  }

  storages(): Promise<StorageRecord[]> {
    return this.#read("storages", "SELECT * FROM storages ORDER BY name");
  }

  copyTotals(): Promise<CopyTotal[]> {
    return this.#read("sums of copies", "SELECT * FROM copy_totals ORDER BY server, database, storage");
  }

  runTotals(): Promise<RunTotal[]> {
    return this.#read("sums of runs", "SELECT * FROM run_totals ORDER BY job, outcome");
  }

  async latestBackups(until = NO_END): Promise<LatestBackups[]> {
    const names = await this.#do("read the latest backups", () => this.#rows(NAMES, {}));
    const found: LatestBackups[] = [];
    for (let start = 0; start < names.length; start += NAMES_AT_ONCE) {
      // Others get their turn in between: there may be thousands.
      if (start > 0) await setImmediate();
      const some = names.slice(start, start + NAMES_AT_ONCE);
      found.push(
        ...(await this.#do("read the latest backups", () => some.map((name) => this.#latest(name, until)))),
      );
    }
    return found;
  }

  #latest(name: Row, until: string): LatestBackups {
    const newest = (sql: string): BackupRecord | null => {
      const first = (end: string) => this.#rows(sql, { ...name, until: end })[0];
      const row = first(until) ?? (until === NO_END ? undefined : first(NO_END));
      return row === undefined ? null : fromRow(BACKUPS, row);
    };
    return {
      server: String(name["server"]),
      database: String(name["database"]),
      good: newest(NEWEST_GOOD),
      ended: newest(NEWEST_ENDED),
    };
  }

  recentBackups(server: string, database: string, limit: number): Promise<BackupPoint[]> {
    return this.#do(
      "read the last backups",
      () => this.#rows(RECENT_BACKUPS, { server, database, limit }) as unknown as BackupPoint[],
    );
  }

  lastScheduled(schedule: string, until = END_OF_TIME): Promise<RunRecord | undefined> {
    return this.#do("read runs", () => this.#newestRun(LAST_SCHEDULED, { schedule, until }) ?? undefined);
  }

  latestRuns(): Promise<LatestRuns[]> {
    return this.#do("read the latest runs", () => this.#jobs().flatMap((job) => this.#latestRuns(job)));
  }

  scheduleRuns(schedule: string): Promise<ScheduleRuns> {
    return this.#do("read the runs of a schedule", () => ({
      ended: this.#newestRun(NEWEST_OF_SCHEDULE, { schedule }),
      skipped: Number(this.#rows(SKIPPED_IN_A_ROW, { schedule })[0]?.["skipped"]),
    }));
  }

  #jobs(): Job[] {
    return this.#rows("SELECT DISTINCT job FROM run_totals ORDER BY job", {}).map(({ job }) => job as Job);
  }

  #latestRuns(job: Job): LatestRuns[] {
    const newest = ENDED.map((outcome) => this.#newestRun(NEWEST_RUN, { job, outcome }));
    const [ok = null] = newest;
    const [ended] = newest.filter((run) => run !== null).sort(newestFirst);
    return ended === undefined ? [] : [{ job, ended, ok }];
  }

  #newestRun(sql: string, values: Row): RunRecord | null {
    const [row] = this.#rows(sql, values);
    return row === undefined ? null : fromRow(RUNS, row);
  }

  #read<R>(what: string, sql: string): Promise<R[]> {
    return this.#do(`read ${what}`, () => this.#rows(sql, {}) as unknown as R[]);
  }

  #run(sql: string, values: Row): void {
    this.#database.query<never, Row>(sql).run(values);
  }

  #rows(sql: string, values: Row): Row[] {
    return this.#database.query<Row, Row>(sql).all(values);
  }
}

function newestFirst(left: RunRecord, right: RunRecord): number {
  const [a, b] = [left, right].map(({ started_at, id }) => `${started_at} ${id}`) as [string, string];
  return a < b ? 1 : -1;
}
