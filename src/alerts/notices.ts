import type { AlertRecord, DeliveryRecord } from "../catalog/records.ts";
import type { AlertLevel, NotifyConfig } from "../config/config.ts";
import { ALERT_LEVELS } from "../config/config.ts";
import { serverPattern } from "../config/database-pattern.ts";
import type { Notice, NoticeEvent } from "../notify/notice.ts";
import type { AlertContext } from "./alert-context.ts";
import { databasesOf } from "./databases-of.ts";

/** The notices about an alert, one for each notifier that accepts it. `resolution` is that of `Notice`. */
export function noticesFor(
  context: AlertContext,
  alert: AlertRecord,
  event: NoticeEvent,
  resolution: string | null = null,
): DeliveryRecord[] {
  const { config, host, installation } = context;
  const { id, count, created_at, last_at, resolved_at, level, job, key, run_id } = alert;
  const { server, database, message, metadata } = alert;
  return config.notify
    .filter((notifier) => wants(notifier, alert))
    .map(({ name }) =>
      newDelivery(context, name, id, {
        id: crypto.randomUUID(),
        event,
        level,
        job,
        key,
        alert_id: id,
        run_id,
        host,
        installation,
        server,
        database,
        message,
        resolution,
        count,
        first_at: created_at,
        last_at,
        resolved_at,
        metadata,
      }),
    );
}

export function newDelivery(
  { clock }: Pick<AlertContext, "clock">,
  notifier: string,
  alertId: string | null,
  notice: Notice,
): DeliveryRecord {
  const now = clock.now().toISOString();
  return {
    id: notice.id,
    alert_id: alertId,
    notifier,
    notice: { ...notice },
    state: "PENDING",
    attempts: 0,
    created_at: now,
    next_try_at: now,
    finished_at: null,
    error: null,
  };
}

export function isMilder(level: AlertLevel, than: AlertLevel): boolean {
  return ALERT_LEVELS.indexOf(level) < ALERT_LEVELS.indexOf(than);
}

/** Whether level, job and database pass the filters of a notifier; a healthcheck gets reports of runs only. */
function wants(notifier: NotifyConfig, alert: AlertRecord): boolean {
  const { level, job, server, database } = alert;
  if (notifier.type === "healthchecks") return false;
  if (isMilder(level, notifier.min_level)) return false;
  if (!notifier.jobs.includes(job)) return false;
  const isWanted = (ofServer: string, name: string) =>
    notifier.databases.some((written) => serverPattern(written).matches(ofServer, name));
  if (server !== null && database !== null) return isWanted(server, database);
  const named = databasesOf(alert);
  // An alert about a whole server or run may concern any database.
  if (named.length === 0) return true;
  return named.some((name) => {
    const slash = name.indexOf("/");
    return isWanted(name.slice(0, slash), name.slice(slash + 1));
  });
}
