import { COMMIT, VERSION } from "../../base/version.ts";
import { type HostRecord, hostState, WITHOUT_DAEMON } from "../../catalog/hosts.ts";
import { catalogText } from "../../catalog/open.ts";
import type { AlertRecord, RunRecord } from "../../catalog/records.ts";
import type { JobContext } from "../../jobs/context.ts";
import type { MarkState } from "../../rule/facts.ts";
import { alertStatus } from "../alert-status.ts";
import { fleetDatabases } from "./databases.ts";
import type { FleetDatabase, FleetDatabaseState, FleetHost, FleetReport, FleetRun } from "./report.ts";

export type FleetSource = Pick<JobContext, "catalog" | "config" | "clock" | "host" | "installation">;

/** All hosts and databases of the catalog: asks no host, no storage and no server. Rejects as `Catalog` does. */
export async function fleetReport(source: FleetSource): Promise<FleetReport> {
  const { config, clock, host, installation } = source;
  const catalog = source.catalog.whole ?? source.catalog;
  const now = clock.now();
  const { unreachable_since = null, known_at = null } = catalog.spool?.status() ?? {};
  const leaseNow = await catalog.leaseTime(clock);
  const hosts = await catalog.hosts.all();
  const runs = Map.groupBy(await catalog.hosts.lastRuns(), (run) => run.host);
  const databases = await fleetDatabases(catalog, hosts, now);
  const ofHost = Map.groupBy(databases, (database) => database.host);
  const names = new Set([
    host,
    ...hosts.map((one) => one.host),
    ...databases.flatMap((one) => one.host ?? []),
  ]);
  const alerts: AlertRecord[] = await catalog.alerts({ open: true });
  return {
    version: VERSION,
    commit: COMMIT,
    host,
    installation,
    now: now.toISOString(),
    timezone: config.timezone,
    catalog: { at: catalogText(config.catalog), is_shared: catalog.isShared, unreachable_since, known_at },
    hosts: [...names].sort().map((name) => {
      const record = hosts.find((one) => one.host === name);
      const silentMs = config.fleet.silent_after_ms;
      const as_of = name === host ? null : known_at;
      const of = { runs: runs.get(name) ?? [], databases: ofHost.get(name) ?? [] };
      const facts = { ...of, as_of, leaseNow: as_of === null ? leaseNow : new Date(as_of), silentMs };
      return { ...recordedHost(name, record, facts), ...hostSums(facts.databases) };
    }),
    databases,
    alerts: alerts.map(alertStatus),
  };
}

interface HostFacts {
  runs: readonly RunRecord[];
  databases: readonly FleetDatabase[];
  as_of: string | null;
  /** At that time. */
  leaseNow: Date;
  silentMs: number;
}

function recordedHost(
  host: string,
  record: HostRecord | undefined,
  { runs, as_of, leaseNow, silentMs }: HostFacts,
): Omit<FleetHost, keyof ReturnType<typeof hostSums>> {
  const last_runs = runs.map(lastRun);
  if (!record || record.pid === WITHOUT_DAEMON) {
    const unknown = {
      version: null,
      pid: null,
      started_at: null,
      heartbeat_at: null,
      heartbeat_age_ms: null,
    };
    const { servers = [], storages = [] } = record ?? {};
    const none = { stopped_at: null, problems: [], next_runs: [] };
    return { host, state: "never", as_of, ...unknown, ...none, servers, storages, last_runs };
  }
  const { version, pid, started_at, heartbeat_at, stopped_at, problems, servers, storages, next_runs } =
    record;
  return {
    ...{
      host,
      state: hostState(record, { now: leaseNow, silentMs }),
      as_of,
      version,
      pid,
      started_at,
      heartbeat_at,
    },
    heartbeat_age_ms: Math.max(0, leaseNow.getTime() - Date.parse(heartbeat_at)),
    ...{ stopped_at, problems, servers, storages, last_runs, next_runs },
  };
}

function lastRun({ id, job, outcome, started_at, finished_at, error, schedule }: RunRecord): FleetRun {
  return { id, job, outcome, started_at, finished_at, error, schedule };
}

function hostSums(
  own: readonly FleetDatabase[],
): Pick<FleetHost, "databases" | "marks" | "oldest_success_at"> {
  const databases: Record<FleetDatabaseState, number> = {
    ...{ good: 0, partial: 0, failing: 0, stale: 0, never: 0, gone: 0 },
  };
  const marks: Record<MarkState, number> = { held: 0, lost: 0, not_set_up: 0, not_demanded: 0 };
  const present = own.filter(({ state }) => state !== "gone");
  for (const { state } of own) databases[state]++;
  for (const { state } of present.flatMap((one) => one.marks)) marks[state]++;
  const times = present.flatMap(({ newest_good }) => newest_good?.started_at ?? []).sort();
  return { databases, marks, oldest_success_at: times[0] ?? null };
}
