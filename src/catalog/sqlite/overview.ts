import type { Database } from "bun:sqlite";
import { believedUntil, newestOf } from "../../base/newest-good.ts";
import type { RunJob } from "../../config/config.ts";
import type {
  BackupDay,
  BackupPoint,
  CopyTotal,
  DatabaseRecord,
  LatestBackups,
  LatestRuns,
  NoticeTotals,
  Overview,
  RunTotal,
  ScheduleRuns,
  Standing,
  StorageLook,
  StorageRecord,
} from "../overview.ts";
import type { RunOutcome, RunRecord } from "../records.ts";
import type { Do } from "./busy.ts";
import { type LatestReader, latestBackups, type Reading, standings } from "./newest/latest.ts";
import { END_OF_TIME, newestCopied, newestRun, newestRunOf } from "./newest/newest.ts";
import { noticeTotals } from "./notices.ts";
import { given, RUN_TOTALS, runsOf } from "./statements.ts";
import { CHECKS, DROP_NAMELESS_CHECK, storageRecords } from "./storages/checks.ts";
import { fromRow, type Row, RUNS } from "./tables.ts";

const SEE_SCHEDULE = `INSERT INTO schedules VALUES ($name, $pattern, $at)
  ON CONFLICT (name) DO UPDATE SET since = $at, pattern = $pattern WHERE pattern <> $pattern OR since > $at`;
const SEE_DATABASE = `INSERT INTO databases VALUES ($server, $database, $at, $at, NULL)
  ON CONFLICT DO UPDATE SET first_seen_at = min(first_seen_at, $at), last_seen_at = $at, gone_at = NULL`;
export const MISS_DATABASES: string = `UPDATE databases SET gone_at = $at WHERE server = $server AND gone_at IS NULL
  AND database NOT IN (SELECT value FROM json_each($databases))`;
const SEE_STORAGE = `INSERT INTO storages
    (host, name, checked_at, check_error, free_bytes, total_bytes, errors, last_error, last_error_at)
  VALUES ($host, $name, $checked_at, $check_error, $free_bytes, $total_bytes, $failed, $check_error, iif($failed, $checked_at, NULL))
  ON CONFLICT (host, name) DO UPDATE SET checked_at = $checked_at, check_error = $check_error, free_bytes = $free_bytes,
    total_bytes = $total_bytes, errors = errors + $failed, last_error = ifnull($check_error, last_error),
    last_error_at = iif($failed, $checked_at, last_error_at)`;
export const RECENT_BACKUPS: string = `SELECT id, status, started_at, finished_at, dump_bytes, object_bytes FROM backups
  WHERE server = $server AND database = $database AND status <> 'RUNNING'
  ORDER BY started_at DESC, id DESC LIMIT $limit`;
const BACKUP_DAYS = `SELECT substr(started_at, 1, 10) AS day, sum(status = 'VERIFIED') AS verified,
    sum(status = 'PARTIAL') AS partial, sum(status IN ('FAILED', 'INTERRUPTED')) AS failed,
    max(iif(status IN ('VERIFIED', 'PARTIAL'), dump_bytes, NULL)) AS dump_bytes
  FROM backups WHERE server = $server AND database = $database AND started_at >= $since AND status <> 'RUNNING'
  GROUP BY day ORDER BY day DESC LIMIT 366`;
export const LAST_SCHEDULED: string = `SELECT * FROM runs WHERE schedule = $schedule AND scheduled_for <= $until
  ORDER BY scheduled_for DESC, started_at DESC, id DESC LIMIT 1`;
const SKIPPED_IN_A_ROW = `SELECT count(*) AS skipped FROM runs
  WHERE schedule = $schedule AND outcome = 'SKIPPED' AND scheduled_for > ifnull((
    SELECT scheduled_for FROM runs WHERE schedule = $schedule AND outcome <> 'SKIPPED' AND scheduled_for <= $until
    ORDER BY scheduled_for DESC LIMIT 1), '') AND scheduled_for <= $until`;
export const DUMPS_SEARCHED = 100;
export const ENDED: readonly RunOutcome[] = ["OK", "PARTIAL", "FAILED", "INTERRUPTED"];

/** Facts are large, and after a change of the selection all older dumps have another one. */
const DUMP_SIZES = `SELECT dump_bytes FROM (
    SELECT dump_bytes, facts, started_at, id FROM backups
    WHERE server = $server AND database = $database AND started_at >= $since AND started_at < $before
      AND kind = $kind AND status IN ('VERIFIED', 'PARTIAL') AND dump_bytes IS NOT NULL
    ORDER BY started_at DESC, id DESC LIMIT ${DUMPS_SEARCHED})
  WHERE coalesce(json_extract(facts, '$.left_out.key'), '') = $selection
  ORDER BY started_at DESC, id DESC LIMIT $limit`;

/** The part of the SQLite catalog that `/status` and the metrics use. */
export class SqliteOverview implements Overview {
  readonly #database: Database;
  readonly #do: Do;
  readonly #latest: LatestReader = {
    atOneMoment: (begin) => this.#do("read the latest backups", () => this.#atOneMoment(begin)),
    places: 100,
  };

  constructor(database: Database, whileBusy: Do) {
    this.#database = database;
    this.#do = whileBusy;
  }

  seeSchedule(name: string, pattern: string, at: string): Promise<string> {
    const see = this.#database.transaction(() => {
      this.#run(SEE_SCHEDULE, { name, pattern, at });
      return String(this.#rows("SELECT since FROM schedules WHERE name = $name", { name })[0]?.["since"]);
    });
    return this.#do("store a schedule", () => see.immediate());
  }

  seeDatabases(server: string, databases: readonly string[], at: string): Promise<void> {
    const see = this.#database.transaction(() => {
      this.#run(MISS_DATABASES, { server, at, databases: JSON.stringify(databases) });
      for (const database of databases) this.#run(SEE_DATABASE, { server, database, at });
    });
    return this.#do("store databases", () => see.immediate());
  }

  databases(): Promise<DatabaseRecord[]> {
    return this.#read("databases", "SELECT * FROM databases ORDER BY server, database");
  }

  seeStorage(name: string, look: StorageLook, host = ""): Promise<void> {
    const failed = Number(look.check_error !== null);
    const see = this.#database.transaction(() => {
      this.#run(DROP_NAMELESS_CHECK, { host, name });
      this.#run(SEE_STORAGE, { host, name, ...look, failed });
    });
    return this.#do("store a storage", () => see.immediate());
  }

  async storages(host = ""): Promise<StorageRecord[]> {
    return storageRecords(await this.#read("storages", CHECKS, { host }), host);
  }

  async copyTotals(now: Date): Promise<CopyTotal[]> {
    const sql = "SELECT * FROM copy_totals ORDER BY server, database, storage";
    const totals = await this.#read<CopyTotal>("totals of copies", sql);
    const until = believedUntil(now).toISOString();
    for (const total of totals) {
      if (total.newest_started_at === null || total.newest_started_at <= until) continue;
      total.newest_started_at = await this.#do("read backups", () => {
        const { server, database, storage } = total;
        return newestCopied(this.#database, { server, database, storage }, now);
      });
    }
    return totals;
  }

  runTotals(host?: string): Promise<RunTotal[]> {
    return this.#read("totals of runs", runsOf(RUN_TOTALS, host), given(host));
  }

  latestBackups(now: Date): Promise<LatestBackups[]> {
    return latestBackups(this.#latest, now);
  }

  standings(now: Date): Promise<Standing[]> {
    return standings(this.#latest, now);
  }

  recentBackups(server: string, database: string, limit: number): Promise<BackupPoint[]> {
    return this.#do(
      "read the last backups",
      () => this.#rows(RECENT_BACKUPS, { server, database, limit }) as unknown as BackupPoint[],
    );
  }

  backupDays(server: string, database: string, since: string): Promise<BackupDay[]> {
    const rows = () => this.#rows(BACKUP_DAYS, { server, database, since }) as unknown as BackupDay[];
    return this.#do("read the days with backups", () => rows().toReversed());
  }

  dumpSizes(...[of, range]: Parameters<Overview["dumpSizes"]>): Promise<number[]> {
    const { server, database, kind } = of;
    const rows = () => this.#rows(DUMP_SIZES, { server, database, kind, ...range });
    return this.#do("read the sizes of dumps", () => rows().map(({ dump_bytes }) => Number(dump_bytes)));
  }

  lastScheduled(schedule: string, until = END_OF_TIME, host?: string): Promise<RunRecord | undefined> {
    return this.#do("read runs", () => {
      const [row] = this.#rows(runsOf(LAST_SCHEDULED, host), { schedule, until, ...given(host) });
      return row && fromRow(RUNS, row);
    });
  }

  latestRuns(now: Date, host?: string): Promise<LatestRuns[]> {
    return this.#do("read the latest runs", () =>
      this.#jobs().flatMap((job) => this.#latestRuns({ job, ...given(host) }, now)),
    );
  }

  scheduleRuns(schedule: string, now: Date, host?: string): Promise<ScheduleRuns> {
    const until = believedUntil(now).toISOString();
    const of = { schedule, ...given(host) };
    return this.#do("read the runs of a schedule", () => ({
      ended: newestRunOf(this.#database, of, now) ?? null,
      skipped: Number(this.#rows(runsOf(SKIPPED_IN_A_ROW, host), { ...of, until })[0]?.["skipped"]),
    }));
  }

  noticeTotals(notifier: string, host?: string): Promise<NoticeTotals> {
    return this.#do("read the totals of notices", () => noticeTotals(this.#database, notifier, host));
  }

  #atOneMoment<T>(begin: () => Reading<T>): T {
    const read = this.#database.transaction(() => {
      const reading = begin();
      let step = reading.next();
      while (!step.done) step = reading.next(this.#rows(...step.value));
      return step.value;
    });
    return read.deferred();
  }

  #jobs(): RunJob[] {
    return this.#rows("SELECT DISTINCT job FROM run_totals ORDER BY job", {}).map(({ job }) => job as RunJob);
  }

  #latestRuns(of: { job: RunJob; host?: string }, now: Date): LatestRuns[] {
    const newest = ENDED.map((outcome) => newestRun(this.#database, { ...of, outcome }, now));
    const [ok = null] = newest;
    const runs = newest.filter((run) => run !== undefined).sort(newestFirst);
    const ended = newestOf(runs, ({ started_at }) => new Date(started_at), now);
    return ended === undefined ? [] : [{ job: of.job, ended, ok }];
  }

  #read<R>(what: string, sql: string, values: Row = {}): Promise<R[]> {
    return this.#do(`read ${what}`, () => this.#rows(sql, values) as unknown as R[]);
  }

  #run(sql: string, values: Row): void {
    this.#database.query<never, Row>(sql).run(values);
  }

  #rows(sql: string, values: Row): Row[] {
    return this.#database.query<Row, Row>(sql).all(values);
  }
}

export function newestFirst(left: RunRecord, right: RunRecord): number {
  const [a, b] = [left, right].map(({ started_at, id }) => `${started_at} ${id}`) as [string, string];
  return a < b ? 1 : -1;
}
