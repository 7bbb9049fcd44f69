import { backupName } from "../catalog/globals.ts";
import type { DatabaseRecord, StandingCopy } from "../catalog/overview.ts";
import type { RestoreTestRecord } from "../catalog/records.ts";
import { byStanding } from "../catalog/restore-tests.ts";
import type { RuleMarkRecord } from "../catalog/rule-marks.ts";
import type { StorageConfig } from "../config/config.ts";
import { archiveNames, restoreTestFor, storagesFor } from "../config/database/settings.ts";
import { marksOf } from "../rule/judge.ts";
import { dated } from "../rule/since.ts";
import { type ProbeFacts, probesInForce } from "../storage/immutability.ts";
import type { MarkStatus } from "./report.ts";
import type { ReportRecords, StatusSource } from "./source.ts";

/** At most this many tests of one database are searched for one that counts. */
const TESTS_MAX = 1000;

/** The records about all databases by which their marks are judged. */
export interface RuleRecords {
  marks: ReadonlyMap<string, readonly RuleMarkRecord[]>;
  tests: ReadonlyMap<string, RestoreTestRecord>;
  /** The errors of databases whose last test came to no result. */
  testErrors: ReadonlyMap<string, string>;
  probes: ReadonlyMap<string, ProbeFacts>;
  /** Names of the storages whose free space was below min_free at their last check. */
  full: readonly string[];
}

export async function ruleRecords(
  source: Pick<StatusSource, "catalog" | "config">,
  read: Pick<ReportRecords, "tests" | "probes" | "storages">,
): Promise<RuleRecords> {
  const { catalog, config } = source;
  const tests: RestoreTestRecord[] = [];
  for (const { latest } of read.tests) {
    const counted = latest && (await countedTest(source, latest));
    if (counted) tests.push(counted);
  }
  return {
    marks: Map.groupBy(await catalog.ruleMarks.list(), databaseKey),
    tests: new Map(tests.map((test) => [databaseKey(test), test])),
    testErrors: testErrors(read),
    probes: probesInForce(read.probes, config.storage),
    full: read.storages.flatMap(({ name, free_bytes }) => {
      const settings = config.storage.find((one) => one.name === name);
      if (settings?.type !== "local" || free_bytes === null) return [];
      return free_bytes < settings.min_free_bytes ? name : [];
    }),
  };
}

/** Results that another host has left do not count: this host cannot remove their cause. */
function testErrors({ tests }: Pick<ReportRecords, "tests">): Map<string, string> {
  const errors = new Map<string, string>();
  for (const { newest, ...of } of tests)
    if (newest.outcome === "ERROR" && newest.prover === null)
      errors.set(databaseKey(of), newest.error ?? "unknown");
  return errors;
}

/** The first test by `byStanding` that counts: a host that was trusted once may not be trusted any more. */
async function countedTest(
  { catalog, config }: Pick<StatusSource, "catalog" | "config">,
  newest: RestoreTestRecord,
): Promise<RestoreTestRecord | undefined> {
  const counts = ({ outcome, prover }: RestoreTestRecord) =>
    outcome !== "ERROR" && (prover === null || config.rule.trusted_provers.includes(prover));
  if (counts(newest)) return newest;
  const { server, database } = newest;
  const tests = await catalog.restoreTests.list({ server, database, limit: TESTS_MAX });
  return tests.filter(counts).toSorted(byStanding)[0];
}

/** The facts about one database. */
export interface RuledDatabase {
  record: DatabaseRecord;
  good: { started_at: string } | null;
  /** The copies of `good`. */
  copies: readonly StandingCopy[];
  /** `leftOutText` of it. */
  leftOut: string | undefined;
  staleAfterMs: number;
  /** Whether its server could not be asked by the last backup run. */
  isServerFailing: boolean;
}

/** The five marks of a database as of now; none if it is gone. */
export function markStatuses(
  { config }: Pick<StatusSource, "config">,
  { record, good, copies, leftOut, staleAfterMs, isServerFailing }: RuledDatabase,
  records: RuleRecords,
  now: Date,
): MarkStatus[] {
  if (record.gone_at !== null) return [];
  const before = records.marks.get(databaseKey(record)) ?? [];
  const had = before.flatMap(({ rule, state }) => (state === "held" || state === "lost" ? rule : []));
  const marks = marksOf({
    now,
    demands: restoreTestFor(config, record.server, record.database).excluded
      ? { ...config.rule, zero_errors: false }
      : config.rule,
    name: backupName(record),
    storages: storagesOf(config, record, copies),
    probes: records.probes,
    full: records.full,
    backup: good && { started_at: good.started_at, copies },
    had,
    staleAfterMs,
    isLive: !isServerFailing,
    test: records.tests.get(databaseKey(record)) ?? null,
    testError: records.testErrors.get(databaseKey(record)) ?? null,
  });
  const told = marks.map((one) =>
    one.rule === "copies" && leftOut !== undefined && one.state === "held"
      ? { ...one, sentence: `${one.sentence}; the newest backup is ${leftOut}` }
      : one,
  );
  return dated(told, before, now).map(
    ({ rule, state, demanded, since, sentence, next_step }): MarkStatus => ({
      rule,
      state,
      demanded,
      since,
      sentence,
      next_step,
    }),
  );
}

/** The storages that the database uses, the archives, and others that have a copy of its newest good backup. */
function storagesOf(
  config: StatusSource["config"],
  { server, database }: DatabaseRecord,
  copies: readonly StandingCopy[],
): StorageConfig[] {
  const chosen = storagesFor(config, server, database);
  if (chosen === undefined) return config.storage;
  const kept = copies.flatMap(({ state, storage }) => (state === "CONFIRMED" ? storage : []));
  const used = new Set([...chosen, ...archiveNames(config), ...kept]);
  return config.storage.filter(({ name }) => used.has(name));
}

export function databaseKey({ server, database }: { server: string; database: string }): string {
  return JSON.stringify([server, database]);
}
