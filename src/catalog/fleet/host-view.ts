import type { Config } from "../../config/config.ts";
import type { AlertScope, Catalog } from "../catalog.ts";
import type { Overview } from "../overview.ts";
import type { AlertRecord } from "../records.ts";
import { changed } from "./fenced-catalog.ts";

/**
 * A catalog that hosts share, as one of them works with it: it sees the runs of its own schedules, its own checks of
 * storages, its own recovery kit and export, judges its own clock, and raises, resolves and sends its own alerts,
 * whatever the others do. Backups are the same in every view: `jobs/ownership.ts` says whose they are.
 */
export function hostView(catalog: Catalog, scope: AlertScope): Catalog {
  const { host } = scope;
  const { clockRecords, hostExports, recoveryKits } = catalog;
  return changed<Catalog>(catalog, {
    whole: catalog,
    overview: overviewOf(catalog.overview, host),
    clockRecords: changed(clockRecords, {
      trust: () => clockRecords.trust(host),
      setTrust: (trust) => clockRecords.setTrust(trust, host),
    }),
    hostExports: changed(hostExports, {
      last: () => hostExports.last(host),
      record: (done) => hostExports.record(done, host),
    }),
    recoveryKits: changed(recoveryKits, {
      last: () => recoveryKits.last(host),
      record: (made) => recoveryKits.record(made, host),
    }),
    changeAlert: (key, decide) => catalog.changeAlert(key, decide, scope),
    alerts: (filter) => catalog.alerts({ ...filter, host }),
    insertDeliveries: (records) => catalog.insertDeliveries(records, host),
    deliveries: (filter) => catalog.deliveries({ ...filter, host }),
  });
}

/** The catalog as the host of this config works with it. */
export function ownView(catalog: Catalog, { fleet }: Pick<Config, "fleet">): Catalog {
  // Hosts that share backups share the alerts about them: another one may make the next.
  const isShared = ({ server }: AlertRecord) => fleet.workers === "any" && server !== null;
  return catalog.isShared ? hostView(catalog, { host: fleet.host, isShared }) : catalog;
}

function overviewOf(overview: Overview, host: string): Overview {
  return changed(overview, {
    // The name of a schedule has no slash before its first word.
    seeSchedule: (name, pattern, at) => overview.seeSchedule(`${host}/${name}`, pattern, at),
    seeStorage: (name, look) => overview.seeStorage(name, look, host),
    storages: () => overview.storages(host),
    lastScheduled: (schedule, until) => overview.lastScheduled(schedule, until, host),
    runTotals: () => overview.runTotals(host),
    noticeTotals: (notifier) => overview.noticeTotals(notifier, host),
    latestRuns: (now) => overview.latestRuns(now, host),
    scheduleRuns: (schedule, now) => overview.scheduleRuns(schedule, now, host),
  });
}
