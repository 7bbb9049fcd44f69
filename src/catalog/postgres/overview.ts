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
import type { RunRecord } from "../records.ts";
import { type LatestReader, latestBackups, standings } from "../sqlite/newest/latest.ts";
import { END_OF_TIME } from "../sqlite/newest/newest.ts";
import {
  DUMPS_SEARCHED,
  ENDED,
  LAST_SCHEDULED,
  MISS_DATABASES,
  newestFirst,
  RECENT_BACKUPS,
} from "../sqlite/overview.ts";
import { given, RUN_TOTALS, runsOf } from "../sqlite/statements.ts";
import { CHECKS, DROP_NAMELESS_CHECK, storageRecords } from "../sqlite/storages/checks.ts";
import type { Row } from "../sqlite/tables.ts";
import { fromRow, RUNS } from "../sqlite/tables.ts";
import { readableJson } from "./dialect.ts";
import { newestCopied, newestRun, newestRunOf } from "./newest.ts";
import { noticeTotals } from "./notices.ts";
import type { Do, Transaction } from "./transactions.ts";

const SEE_SCHEDULE = `INSERT INTO schedules AS known VALUES ($name, $pattern, $at)
  ON CONFLICT (name) DO UPDATE SET since = excluded.since, pattern = excluded.pattern
  WHERE known.pattern <> excluded.pattern OR known.since > excluded.since`;
const SEE_DATABASE = `INSERT INTO databases AS known VALUES ($server, $database, $at, $at, NULL)
  ON CONFLICT (server, database) DO UPDATE SET
    first_seen_at = least(known.first_seen_at, excluded.first_seen_at),
    last_seen_at = excluded.last_seen_at, gone_at = NULL`;
const SEE_STORAGE = `INSERT INTO storages AS known
    (host, name, checked_at, check_error, free_bytes, total_bytes, errors, last_error, last_error_at)
  VALUES ($host, $name, $checked_at, $check_error, $free_bytes, $total_bytes, $failed, $check_error, $failed_at)
  ON CONFLICT (host, name) DO UPDATE SET checked_at = excluded.checked_at, check_error = excluded.check_error,
    free_bytes = excluded.free_bytes, total_bytes = excluded.total_bytes, errors = known.errors + excluded.errors,
    last_error = coalesce(excluded.last_error, known.last_error),
    last_error_at = coalesce(excluded.last_error_at, known.last_error_at)`;
const BACKUP_DAYS = `SELECT substr(started_at, 1, 10) AS day,
    count(*) FILTER (WHERE status = 'VERIFIED') AS verified,
    count(*) FILTER (WHERE status = 'PARTIAL') AS partial,
    count(*) FILTER (WHERE status IN ('FAILED', 'INTERRUPTED')) AS failed,
    max(dump_bytes) FILTER (WHERE status IN ('VERIFIED', 'PARTIAL')) AS dump_bytes
  FROM backups WHERE server = $server AND database = $database AND started_at >= $since AND status <> 'RUNNING'
  GROUP BY day ORDER BY day DESC LIMIT 366`;
const SKIPPED_IN_A_ROW = `SELECT count(*) AS skipped FROM runs
  WHERE schedule = $schedule AND outcome = 'SKIPPED' AND scheduled_for > coalesce((
    SELECT scheduled_for FROM runs WHERE schedule = $schedule AND outcome <> 'SKIPPED' AND scheduled_for <= $until
    ORDER BY scheduled_for DESC LIMIT 1), '') AND scheduled_for <= $until`;
/** Facts are large, and after a change of the selection all older dumps have another one. */
const DUMP_SIZES = `SELECT dump_bytes FROM (
    SELECT dump_bytes, facts, started_at, id FROM backups
    WHERE server = $server AND database = $database AND started_at >= $since AND started_at < $before
      AND kind = $kind AND status IN ('VERIFIED', 'PARTIAL') AND dump_bytes IS NOT NULL
    ORDER BY started_at DESC, id DESC LIMIT ${DUMPS_SEARCHED}) AS good
  WHERE coalesce(${readableJson("facts")} #>> '{left_out,key}', '') = $selection
  ORDER BY started_at DESC, id DESC LIMIT $limit`;

/** The part of the catalog in PostgreSQL that `/status` and the metrics use. */
export class PostgresOverview implements Overview {
  readonly #do: Do;
  readonly #latest: LatestReader;

  constructor(transact: Do, readAtOneMoment: Do) {
    this.#do = transact;
    this.#latest = {
      // The server does most of the work.
      places: 500,
      atOneMoment: (begin) =>
        readAtOneMoment("read the latest backups", async ({ rows }) => {
          const reading = begin();
          let step = reading.next();
          while (!step.done) step = reading.next(await rows(...step.value));
          return step.value;
        }),
    };
  }

  seeSchedule(name: string, pattern: string, at: string): Promise<string> {
    return this.#do("store a schedule", async ({ rows, run }) => {
      await run(SEE_SCHEDULE, { name, pattern, at });
      const [row] = await rows<{ since: string }>("SELECT since FROM schedules WHERE name = $name", { name });
      return String(row?.since);
    });
  }

  seeDatabases(server: string, databases: readonly string[], at: string): Promise<void> {
    return this.#do("store databases", async ({ run }) => {
      await run(MISS_DATABASES, { server, at, databases: JSON.stringify(databases) });
      // In one order, so that two daemons do not wait for each other.
      for (const database of databases.toSorted()) await run(SEE_DATABASE, { server, database, at });
    });
  }

  databases(): Promise<DatabaseRecord[]> {
    return this.#read("databases", "SELECT * FROM databases ORDER BY server, database");
  }

  seeStorage(name: string, look: StorageLook, host = ""): Promise<void> {
    const failed = look.check_error !== null;
    const failure = { failed: Number(failed), failed_at: failed ? look.checked_at : null };
    return this.#do("store a storage", async ({ run }) => {
      await run(DROP_NAMELESS_CHECK, { host, name });
      await run(SEE_STORAGE, { host, name, ...look, ...failure });
    });
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
      const { server, database, storage } = total;
      total.newest_started_at = await this.#do("read backups", (transaction) =>
        newestCopied(transaction, { server, database, storage }, now),
      );
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
    const values = { server, database, limit };
    return this.#do("read the last backups", ({ rows }) => rows<BackupPoint>(RECENT_BACKUPS, values));
  }

  backupDays(server: string, database: string, since: string): Promise<BackupDay[]> {
    return this.#do("read the days with backups", async ({ rows }) =>
      (await rows<BackupDay>(BACKUP_DAYS, { server, database, since })).toReversed(),
    );
  }

  dumpSizes(...[of, range]: Parameters<Overview["dumpSizes"]>): Promise<number[]> {
    const { server, database, kind } = of;
    return this.#do("read the sizes of dumps", async ({ rows }) =>
      (await rows(DUMP_SIZES, { server, database, kind, ...range })).map(({ dump_bytes }) =>
        Number(dump_bytes),
      ),
    );
  }

  lastScheduled(schedule: string, until = END_OF_TIME, host?: string): Promise<RunRecord | undefined> {
    return this.#do("read runs", async ({ rows }) => {
      const [row] = await rows(runsOf(LAST_SCHEDULED, host), { schedule, until, ...given(host) });
      return row && fromRow(RUNS, row);
    });
  }

  latestRuns(now: Date, host?: string): Promise<LatestRuns[]> {
    return this.#do("read the latest runs", async (transaction) => {
      const jobs = await transaction.rows<{ job: RunJob }>(
        "SELECT DISTINCT job FROM run_totals ORDER BY job",
      );
      const found: LatestRuns[] = [];
      for (const { job } of jobs)
        found.push(...(await latestRunsOf(transaction, { job, ...given(host) }, now)));
      return found;
    });
  }

  scheduleRuns(schedule: string, now: Date, host?: string): Promise<ScheduleRuns> {
    const until = believedUntil(now).toISOString();
    const of = { schedule, ...given(host) };
    return this.#do("read the runs of a schedule", async (transaction) => {
      const ended = (await newestRunOf(transaction, of, now)) ?? null;
      const [row] = await transaction.rows<{ skipped: number }>(runsOf(SKIPPED_IN_A_ROW, host), {
        ...of,
        until,
      });
      return { ended, skipped: Number(row?.skipped) };
    });
  }

  noticeTotals(notifier: string, host?: string): Promise<NoticeTotals> {
    return this.#do("read the totals of notices", (transaction) => noticeTotals(transaction, notifier, host));
  }

  #read<R>(what: string, sql: string, values: Row = {}): Promise<R[]> {
    return this.#do(`read ${what}`, ({ rows }) => rows<R>(sql, values));
  }
}

async function latestRunsOf(
  transaction: Transaction,
  of: { job: RunJob; host?: string },
  now: Date,
): Promise<LatestRuns[]> {
  const newest: (RunRecord | undefined)[] = [];
  for (const outcome of ENDED) newest.push(await newestRun(transaction, { ...of, outcome }, now));
  const [ok = null] = newest;
  const runs = newest.filter((run) => run !== undefined).sort(newestFirst);
  const ended = newestOf(runs, ({ started_at }) => new Date(started_at), now);
  return ended === undefined ? [] : [{ job: of.job, ended, ok }];
}
