import { messageOf } from "../base/errors.ts";
import type { RunRecord } from "../catalog/records.ts";
import type { AlertLevel, HealthchecksConfig } from "../config/config.ts";
import { alertJob } from "../config/config.ts";
import type { Notice, NoticeEvent } from "../notify/notice.ts";
import { sendNotice } from "../notify/send.ts";
import type { DeliveryContext } from "./alert-context.ts";
import { isMilder, newDelivery } from "./notices.ts";

/**
 * Reports the start of a run to every dead man's switch of this job, at once and without another attempt: a late
 * report would be wrong. Never throws.
 */
export async function pingStart(context: DeliveryContext, run: RunRecord): Promise<void> {
  const report = async (notifier: HealthchecksConfig) => {
    try {
      await sendNotice(notifier, runNotice(context, run, "started", "INFO"), context);
    } catch (error) {
      const fields = { notifier: notifier.name, run_id: run.id, error: messageOf(error) };
      if (!context.signal.aborted) context.log.warning("the start of a run could not be reported", fields);
    }
  };
  await Promise.all(switchesOf(context, run).map(report));
}

/** Queues the report of a run's outcome for every dead man's switch of this job. Never throws. */
export async function pingEnd(context: DeliveryContext, run: RunRecord): Promise<void> {
  const level = run.outcome === "OK" ? "INFO" : run.outcome === "PARTIAL" ? "WARNING" : "CRITICAL";
  const pings = switchesOf(context, run).map((notifier) => {
    const isBad = level !== "INFO" && !isMilder(level, notifier.min_level);
    return newDelivery(
      context,
      notifier.name,
      null,
      runNotice(context, run, isBad ? "failed" : "succeeded", level),
    );
  });
  try {
    await context.catalog.insertDeliveries(pings);
  } catch (error) {
    context.log.error("the report of a run's end could not be queued", { error: messageOf(error) });
  }
}

function switchesOf({ config }: DeliveryContext, { job }: RunRecord): HealthchecksConfig[] {
  return config.notify
    .filter((notifier) => notifier.type === "healthchecks")
    .filter(({ jobs }) => jobs.includes(alertJob(job)));
}

function runNotice(
  { clock, host, installation }: DeliveryContext,
  { id: run_id, job, outcome, started_at, error, statistics }: RunRecord,
  event: NoticeEvent,
  level: AlertLevel,
): Notice {
  const result = event === "started" ? "has started" : `ended: ${outcome}`;
  return {
    id: crypto.randomUUID(),
    event,
    level,
    job: alertJob(job),
    key: job,
    alert_id: null,
    run_id,
    host,
    installation,
    server: null,
    database: null,
    message: error === null ? `${job} ${result}` : `${job} ${result}: ${error}`,
    resolution: null,
    count: 1,
    first_at: started_at,
    last_at: clock.now().toISOString(),
    resolved_at: null,
    metadata: statistics ?? {},
  };
}
