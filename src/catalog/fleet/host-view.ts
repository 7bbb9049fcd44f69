import type { Config } from "../../config/config.ts";
import type { AlertScope, Catalog } from "../catalog.ts";
import type { ClockRecords } from "../clock-records.ts";
import type { Overview } from "../overview.ts";
import type { AlertRecord } from "../records.ts";
import { boundTo } from "./fenced-catalog.ts";

/**
 * A catalog that hosts share, as one of them works with it: it sees the runs of its own schedules, sees its own checks of
 * storages, judges its own clock, and raises, resolves and sends its own alerts, whatever the others do. Backups are the same in every view:
 * `jobs/ownership.ts` says whose they are.
 */
export function hostView(catalog: Catalog, scope: AlertScope): Catalog {
  const { host } = scope;
  const own: Partial<Catalog> = {
    whole: catalog,
    overview: overviewOf(catalog.overview, host),
    clockRecords: clocksOf(catalog.clockRecords, host),
    changeAlert: (key, decide) => catalog.changeAlert(key, decide, scope),
    alerts: (filter) => catalog.alerts({ ...filter, host }),
    insertDeliveries: (records) => catalog.insertDeliveries(records, host),
    deliveries: (filter) => catalog.deliveries({ ...filter, host }),
  };
  return new Proxy(catalog, { get: (_, name) => Reflect.get(own, name) ?? boundTo(catalog, name) });
}

/** The catalog as the host of this config works with it. */
export function ownView(catalog: Catalog, { fleet }: Pick<Config, "fleet">): Catalog {
  // Hosts that share backups share the alerts about them: another one may make the next.
  const isShared = ({ server }: AlertRecord) => fleet.workers === "any" && server !== null;
  return catalog.isShared ? hostView(catalog, { host: fleet.host, isShared }) : catalog;
}

function overviewOf(overview: Overview, host: string): Overview {
  const own: Partial<Overview> = {
    // The name of a schedule has no slash before its first word.
    seeSchedule: (name, pattern, at) => overview.seeSchedule(`${host}/${name}`, pattern, at),
    seeStorage: (name, look) => overview.seeStorage(name, look, host),
    storages: () => overview.storages(host),
    lastScheduled: (schedule, until) => overview.lastScheduled(schedule, until, host),
    runTotals: () => overview.runTotals(host),
    noticeTotals: (notifier) => overview.noticeTotals(notifier, host),
    latestRuns: (now) => overview.latestRuns(now, host),
    scheduleRuns: (schedule, now) => overview.scheduleRuns(schedule, now, host),
  };
  return new Proxy(overview, { get: (_, name) => Reflect.get(own, name) ?? boundTo(overview, name) });
}

function clocksOf(records: ClockRecords, host: string): ClockRecords {
  const own: Partial<ClockRecords> = {
    trust: () => records.trust(host),
    setTrust: (trust) => records.setTrust(trust, host),
  };
  return new Proxy(records, { get: (_, name) => Reflect.get(own, name) ?? boundTo(records, name) });
}
