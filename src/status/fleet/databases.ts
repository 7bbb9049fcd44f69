import { setImmediate } from "node:timers/promises";
import { ageMs } from "../../base/clock.ts";
import { DAY_MS } from "../../base/limits.ts";
import { isAhead } from "../../base/newest-good.ts";
import { isEndedByHand } from "../../base/text/states.ts";
import type { Catalog } from "../../catalog/catalog.ts";
import { isGlobalsPlace } from "../../catalog/globals.ts";
import type { HostRecord } from "../../catalog/hosts.ts";
import type { DatabaseRecord, Standing, StandingBackup } from "../../catalog/overview.ts";
import type { RuleMarkRecord } from "../../catalog/rule-marks.ts";
import type { MarkState, RuleName } from "../../rule/facts.ts";
import { databaseKey } from "../rule-facts.ts";
import { isOverdue } from "../verdict.ts";
import type { FleetDatabase, FleetDatabaseState } from "./report.ts";

/** The age that makes a database stale if the schedules of its host are unknown. */
const STALE_MS = 2 * DAY_MS;
const STALE_INTERVALS = 2;
/** After this many databases the event loop gets a turn. */
const DATABASES_AT_ONCE = 200;

/** Every database of the catalog, of whichever host. */
export async function fleetDatabases(
  catalog: Pick<Catalog, "overview" | "ruleMarks">,
  hosts: readonly HostRecord[],
  now: Date,
): Promise<FleetDatabase[]> {
  const latest = (await catalog.overview.standings(now)).filter((one) => !isGlobalsPlace(one));
  const backupsOf = new Map(latest.map((one) => [databaseKey(one), one]));
  const records = new Map((await catalog.overview.databases()).map((one) => [databaseKey(one), one]));
  const marksOf = Map.groupBy(await catalog.ruleMarks.list(), databaseKey);
  const placesOf = new Map<string, FleetDatabase>();
  for (const [index, key] of [...new Set([...records.keys(), ...backupsOf.keys()])].entries()) {
    if (index % DATABASES_AT_ONCE === DATABASES_AT_ONCE - 1) await setImmediate();
    const record = records.get(key);
    const backups = backupsOf.get(key);
    // A database that is gone and has no backup is not shown.
    if (!backups && (record === undefined || record.gone_at !== null)) continue;
    placesOf.set(key, fleetDatabase({ record, backups, marks: marksOf.get(key) ?? [] }, hosts, now));
  }
  return [...placesOf.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, database]) => database);
}

interface Known {
  record: DatabaseRecord | undefined;
  backups: Standing | undefined;
  marks: readonly RuleMarkRecord[];
}

function fleetDatabase(known: Known, hosts: readonly HostRecord[], now: Date): FleetDatabase {
  const { record, backups, marks } = known;
  const { server, database } = (record ?? backups) as Pick<DatabaseRecord, "server" | "database">;
  const { good = null, ended = null } = backups ?? {};
  const having = hosts.filter(({ servers }) => servers.some(({ name }) => name === server));
  const host = hostOf(having, newest(good, ended));
  const interval_ms = slowestMs(hosts.find((one) => one.host === host));
  const staleMs = interval_ms === null ? STALE_MS : STALE_INTERVALS * interval_ms;
  const state = stateOf(known, { isServed: having.length > 0 || hosts.length === 0, staleMs, now });
  const first_seen_at = record?.first_seen_at ?? now.toISOString();
  return {
    server,
    database,
    host,
    hosts: having.map((one) => one.host),
    state,
    is_overdue: isOverdue({ state, last_attempt: ended, first_seen_at, interval_ms }, now.toISOString()),
    newest_good: good && { id: good.id, started_at: good.started_at, age_ms: ageMs(good.started_at, now) },
    last_attempt: ended && {
      ...{ id: ended.id, status: ended.status, started_at: ended.started_at, error: ended.error },
    },
    marks: marks.map(({ rule, state, since }) => ({
      rule: rule as RuleName,
      state: state as MarkState,
      since,
    })),
  };
}

function hostOf(having: readonly HostRecord[], backup: StandingBackup | null): string | null {
  const made = backup?.host ?? null;
  const isLeft = made !== null && (having.length === 0 || having.some(({ host }) => host === made));
  return isLeft ? made : (having[0]?.host ?? null);
}

function stateOf(
  { record, backups }: Known,
  { isServed, staleMs, now }: { isServed: boolean; staleMs: number; now: Date },
): FleetDatabaseState {
  const { good = null, ended = null } = backups ?? {};
  if (!isServed || (record !== undefined && record.gone_at !== null)) return "gone";
  if (!good) return "never";
  if (isAhead(new Date(good.started_at), now) || ageMs(good.started_at, now) > staleMs) return "stale";
  if (ended && ended.id !== good.id && newest(good, ended) === ended && !isEndedByHand(ended))
    return "failing";
  return good.status === "PARTIAL" ? "partial" : "good";
}

/** The interval of its slowest backup schedule: which schedule a database has is known to its own host only. */
function slowestMs(host: HostRecord | undefined): number | null {
  const intervals = (host?.next_runs ?? []).flatMap(({ job, interval_ms }) =>
    job === "backup" && interval_ms !== null ? [interval_ms] : [],
  );
  return intervals.length === 0 ? null : Math.max(...intervals);
}

function newest(one: StandingBackup | null, other: StandingBackup | null): StandingBackup | null {
  if (!one || !other) return one ?? other;
  return one.started_at >= other.started_at ? one : other;
}
