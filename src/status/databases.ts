import { setImmediate } from "node:timers/promises";
import { ageMs, durationMs } from "../base/clock.ts";
import { DAY_MS } from "../base/limits.ts";
import { isAhead, newestOf } from "../base/newest-good.ts";
import { isEndedByHand } from "../base/text/states.ts";
import { settledBackup } from "../catalog/database-lease.ts";
import { isGlobalsPlace } from "../catalog/globals.ts";
import type {
  CopyTotal,
  DatabaseRecord,
  Standing,
  StandingBackup,
  StandingCopy,
} from "../catalog/overview.ts";
import { backupEntry } from "../jobs/schedules.ts";
import { backupStorages } from "../jobs/storages.ts";
import { leftOutOf, leftOutText } from "../postgres/counts/left-out.ts";
import { failureSince, serverFailures } from "./last-attempt.ts";
import type { DatabaseCopiesStatus, DatabaseStatus, GoodBackupStatus, RestoreTestStatus } from "./report.ts";
import { restoreTestStatuses, testedName } from "./restore-tests.ts";
import { databaseKey, markStatuses, type RuleRecords, ruleRecords } from "./rule-facts.ts";
import type { ReportRecords, StatusSource, TimedSchedule } from "./source.ts";

/** A newest good backup older than this many intervals makes its database stale. */
const STALE_INTERVALS = 2;
/** The age that makes a database stale if no schedule backs it up. */
const STALE_MS = 2 * DAY_MS;
/** After this many databases the event loop gets a turn. */
const DATABASES_AT_ONCE = 50;

/** What the catalog knows about one database. */
interface Facts {
  record: DatabaseRecord;
  good: Standing["good"];
  /** The newest finished attempt, good or not. */
  ended: StandingBackup | null;
  /** The copies of the newest good backup. */
  goodCopies: readonly StandingCopy[];
  /** Of the newest good backup. */
  leftOut: string | undefined;
  /** Storages with a confirmed one of them. */
  storages: string[];
  /** Storages that its backups go to. */
  expected: string[];
  totals: readonly CopyTotal[];
  schedule: TimedSchedule | undefined;
  serverFailure: DatabaseStatus["server_failure"];
  restoreTest: RestoreTestStatus | null;
}

/**
 * Every database that is backed up or still has copies, ordered by server and name; not those of servers that only other
 * hosts have.
 */
export async function databaseStatuses(
  source: StatusSource,
  schedules: readonly TimedSchedule[],
  read: ReportRecords,
): Promise<DatabaseStatus[]> {
  const { catalog, config } = source;
  const { now, latest } = read;
  const records = new Map(
    (await catalog.overview.databases()).map((record) => [databaseKey(record), record]),
  );
  const dumps = latest.filter((one) => !isGlobalsPlace(one));
  const latestOf = new Map(dumps.map((backups) => [databaseKey(backups), backups]));
  // Adopted backups may belong to databases that were never listed on a server.
  for (const [name, backups] of latestOf) if (!records.has(name)) records.set(name, recordOf(backups));
  const totals = Map.groupBy(read.totals, databaseKey);
  const abandoned = await abandonedBackups(source, now);
  const failures = await serverFailures(catalog);
  const rule = await ruleRecords(source, read);
  const tests = restoreTestStatuses(read);

  const configured = new Set(config.server.map(({ name }) => name));
  const { hasServer } = read.ownership;
  const shown = [...records].flatMap(([key, record]) => {
    const { good = null, ended = null } = latestOf.get(key) ?? {};
    return hasServer(record.server, newer(ended, good, now)?.host ?? null) ? record : [];
  });

  const statuses: DatabaseStatus[] = [];
  for (const [index, record] of shown.sort(byName).entries()) {
    // There may be thousands of databases, and the endpoint must answer other requests meanwhile.
    if (index % DATABASES_AT_ONCE === DATABASES_AT_ONCE - 1) await setImmediate();
    const { good = null, ended = null } = latestOf.get(databaseKey(record)) ?? {};
    const attempt = newer(ended, abandoned.get(databaseKey(record)) ?? null, now);
    const goodCopies = good?.copies ?? [];
    const facts: Facts = {
      record: withGone(configured, record),
      good,
      ended: attempt,
      serverFailure: failureSince(failures, record, attempt),
      goodCopies,
      leftOut: leftOutText(good ? leftOutOf({ left_out: good.left_out }) : undefined),
      storages: goodCopies.filter((copy) => copy.state === "CONFIRMED").map(({ storage }) => storage),
      expected: backupStorages(source, record).map(({ name }) => name),
      totals: totals.get(databaseKey(record)) ?? [],
      schedule: backupEntry(schedules, record.server, record.database),
      restoreTest: tests.get(testedName(record)) ?? null,
    };
    // A database that is gone and has no copies left is not shown.
    if (facts.record.gone_at === null || facts.totals.some(({ copies }) => copies > 0))
      statuses.push(databaseStatus(source, facts, rule, now));
  }
  return statuses;
}

function databaseStatus(source: StatusSource, facts: Facts, rule: RuleRecords, now: Date): DatabaseStatus {
  const { record, good, ended, schedule } = facts;
  const isGone = record.gone_at !== null;
  const isServerFailing = facts.serverFailure !== null;
  const ruled = {
    record,
    good,
    copies: facts.goodCopies,
    leftOut: facts.leftOut,
    staleAfterMs: staleAfterMs(facts),
    isServerFailing,
  };
  return {
    server: record.server,
    database: record.database,
    first_seen_at: record.first_seen_at,
    gone_at: isProver(source.config) ? null : record.gone_at,
    state: databaseState(source, facts, now),
    newest_good: good && goodStatus(good, facts, now),
    last_attempt: ended && {
      id: ended.id,
      status: ended.status,
      started_at: ended.started_at,
      finished_at: ended.finished_at,
      error: ended.error,
    },
    server_failure: isGone ? null : facts.serverFailure,
    interval_ms: isGone ? null : (schedule?.intervalMs ?? null),
    next_backup_at: isGone ? null : (schedule?.nextRunAt ?? null),
    copies: copiesStatus(facts, now),
    marks: markStatuses(source, ruled, rule, now),
    restore_test: facts.restoreTest,
  };
}

/**
 * The first of these states that applies:
 * gone; elsewhere: this host has no servers of its own, and only tests the backups of another installation;
 * never: there is no good backup yet;
 * stale: the newest good backup started more than two intervals ago (two days ago without a schedule), or its start
 * is ahead of the clock, so that its age is unknown;
 * failing: a newer attempt has ended and is not good, and nobody ended it by hand, or the server could not be asked;
 * partial: the newest good backup lacks a confirmed copy in a storage that backups go to;
 * good.
 */
function databaseState(source: StatusSource, facts: Facts, now: Date): DatabaseStatus["state"] {
  const { record, good, ended, storages, expected, serverFailure } = facts;
  if (record.gone_at !== null) return isProver(source.config) ? "elsewhere" : "gone";
  if (!good) return "never";
  if (isAhead(new Date(good.started_at), now)) return "stale";
  if (ageMs(good.started_at, now) > staleAfterMs(facts)) return "stale";
  if (serverFailure) return "failing";
  if (ended && ended.id !== good.id && !isEndedByHand(ended) && newer(ended, good, now) === ended)
    return "failing";
  const isWhole = expected.every((name) => storages.includes(name));
  return good.status === "PARTIAL" || !isWhole ? "partial" : "good";
}

function staleAfterMs({ schedule }: Facts): number {
  const interval = schedule?.intervalMs;
  return interval === undefined ? STALE_MS : STALE_INTERVALS * interval;
}

function goodStatus(good: StandingBackup, { leftOut, storages }: Facts, now: Date): GoodBackupStatus {
  const { id, status, started_at, finished_at, dump_bytes, object_bytes } = good;
  return {
    id,
    status,
    started_at,
    finished_at,
    age_ms: ageMs(started_at, now),
    duration_ms: durationMs(good),
    dump_bytes,
    object_bytes,
    left_out: leftOut ?? null,
    storages,
  };
}

/** Includes storages that backups go to even if they hold no copy of this database. */
function copiesStatus({ record, totals, ...more }: Facts, now: Date): DatabaseCopiesStatus[] {
  const expected = record.gone_at === null ? more.expected : [];
  const held = totals.filter(({ copies }) => copies > 0);
  const names = new Set([...expected, ...held.map(({ storage }) => storage)]);
  return [...names].sort().map((storage) => {
    const total = held.find((one) => one.storage === storage);
    const newest = total?.newest_started_at ?? null;
    return {
      storage,
      copies: total?.copies ?? 0,
      bytes: total?.bytes ?? 0,
      newest_started_at: newest,
      newest_age_ms: newest === null ? null : ageMs(newest, now),
      is_used: expected.includes(storage),
    };
  });
}

/** The newest backup of each database that is RUNNING in the catalog although no process works on it: it has failed. */
async function abandonedBackups(source: StatusSource, now: Date): Promise<Map<string, StandingBackup>> {
  const found = new Map<string, StandingBackup>();
  for (const running of await source.catalog.backups({ status: ["RUNNING"] })) {
    const backup = await settledBackup(source, running);
    if (backup.status !== "INTERRUPTED") continue;
    const newest = newer(found.get(databaseKey(backup)) ?? null, backup, now);
    if (newest) found.set(databaseKey(backup), newest);
  }
  return found;
}

/** Whether this host only tests what another installation has written (`restore_test.adopt`). */
function isProver({ server, restore_test }: StatusSource["config"]): boolean {
  return server.length === 0 && restore_test.adopt;
}

/** A database counts as gone if the config no longer has its server. */
function withGone(configured: ReadonlySet<string>, record: DatabaseRecord): DatabaseRecord {
  return configured.has(record.server) || record.gone_at !== null
    ? record
    : { ...record, gone_at: record.last_seen_at };
}

function recordOf({ server, database, good, ended }: Standing): DatabaseRecord {
  const times = [good, ended].flatMap((backup) => (backup ? [backup.started_at] : [])).sort();
  const [first = ""] = times;
  return { server, database, first_seen_at: first, last_seen_at: times.at(-1) ?? first, gone_at: null };
}

function newer(left: StandingBackup | null, right: StandingBackup | null, now: Date): StandingBackup | null {
  if (!left || !right) return left ?? right;
  const newestFirst = left.started_at >= right.started_at ? [left, right] : [right, left];
  return newestOf(newestFirst, ({ started_at }) => new Date(started_at), now) ?? null;
}

function byName(left: DatabaseRecord, right: DatabaseRecord): number {
  const [a, b] = [left, right].map(databaseKey) as [string, string];
  return a < b ? -1 : 1;
}
