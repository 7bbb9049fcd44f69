import { passwordsKey } from "../alerts/password-alerts.ts";
import { DAY_MS } from "../base/limits.ts";
import { isEndedByHand } from "../base/text/states.ts";
import { isGlobalsPlace } from "../catalog/globals.ts";
import type { Standing } from "../catalog/overview.ts";
import type { AlertRecord } from "../catalog/records.ts";
import { backupStorages } from "../jobs/storages.ts";
import type { GlobalsStatus } from "./report.ts";
import type { ReportRecords, StatusSource } from "./source.ts";

/** Globals are backed up with each run: if a dump is so much newer than the newest good ones, they are missing. */
const BEHIND_MS_MAX = DAY_MS;

/**
 * The backups of the globals of every server whose config asks for them, in the order of the config. `alerts`: those that are open.
 */
export function globalsStatuses(
  source: StatusSource,
  { latest }: Pick<ReportRecords, "latest">,
  alerts: readonly AlertRecord[],
): GlobalsStatus[] {
  const byServer = Map.groupBy(latest, ({ server }) => server);
  const open = new Set(alerts.map(({ key }) => key));
  const wanted = source.config.server.filter(({ globals }) => globals);
  return wanted.map(({ name }) => {
    const own = byServer.get(name) ?? [];
    const { good = null, ended = null } = own.find(isGlobalsPlace) ?? {};
    const storages = (good?.copies ?? [])
      .filter(({ state }) => state === "CONFIRMED")
      .map(({ storage }) => storage);
    return {
      server: name,
      state: stateOf(source, own, storages),
      newest_good: good && { id: good.id, started_at: good.started_at, storages },
      has_lost_passwords: open.has(passwordsKey(name)),
      last_attempt: ended && {
        ...{ id: ended.id, status: ended.status, started_at: ended.started_at, error: ended.error },
      },
    };
  });
}

/**
 * The first that applies: failing: a newer attempt than the newest good one failed; never: there is no good one; stale: a
 * dump of the server is more than a day newer; partial: a storage that backups go to has no copy; good.
 */
function stateOf(
  source: StatusSource,
  own: readonly Standing[],
  storages: readonly string[],
): GlobalsStatus["state"] {
  const { good = null, ended = null } = own.find(isGlobalsPlace) ?? {};
  const hasFailed = ended !== null && ended.id !== good?.id && !isEndedByHand(ended);
  if (hasFailed && (good === null || ended.started_at > good.started_at)) return "failing";
  if (good === null) return "never";
  const limit = new Date(Date.parse(good.started_at) + BEHIND_MS_MAX).toISOString();
  if (own.some((one) => one.good?.kind === "dump" && one.good.started_at > limit)) return "stale";
  return backupStorages(source).every(({ name }) => storages.includes(name)) ? "good" : "partial";
}
