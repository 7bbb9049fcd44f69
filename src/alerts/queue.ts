import type { DeliveryRecord } from "../catalog/records.ts";
import type { NotifyConfig } from "../config/config.ts";
import type { Notice } from "../notify/notice.ts";

/**
 * The order in which a notifier gets its pending notices: alerts with a CRITICAL notice first, otherwise as they were
 * queued. The notices of one alert stay in order. A dead man's switch shows the last report that it got, so that its
 * reports are never reordered.
 */
export function inSendingOrder(
  pending: readonly DeliveryRecord[],
  type: NotifyConfig["type"],
): DeliveryRecord[] {
  if (type === "healthchecks") return [...pending];
  const urgent = new Set(pending.filter(isUrgent).map(subjectOf));
  return pending.toSorted(
    (left, right) => Number(urgent.has(subjectOf(right))) - Number(urgent.has(subjectOf(left))),
  );
}

/**
 * The notice to try next when the one before it could not be sent. `hasJustFailed`: it failed in this round; otherwise
 * it waits for its next attempt. Undefined: nothing more in this round, because the receiver seems to be down.
 *
 * A receiver that is down should get one attempt in a round, not one for each notice. But a notice may also fail
 * because of its contents, and must not hold up the others then. So a notice that had failed before is followed by
 * another one, each time by the one with the fewest attempts; and a CRITICAL notice is tried once, whatever waits.
 */
export function nextAfterFailure(
  rest: readonly DeliveryRecord[],
  { failed, hasJustFailed }: { failed: DeliveryRecord; hasJustFailed: boolean },
  type: NotifyConfig["type"],
): DeliveryRecord | undefined {
  if (type === "healthchecks") return undefined;
  const isNew = ({ attempts }: DeliveryRecord) => attempts === 0;
  if (!hasJustFailed) return rest.find((one) => isNew(one) && isUrgent(one));
  if (isNew(failed)) return undefined;
  // `rest` is in order, so that the first notice of each alert remains.
  const seen = new Set([subjectOf(failed)]);
  const firsts = rest.filter((one) => !seen.has(subjectOf(one)) && seen.add(subjectOf(one)));
  return firsts.toSorted((left, right) => left.attempts - right.attempts)[0];
}

/** The first notice that is not about the same alert as one of `left`, which must go before it. */
export function firstBut(
  queue: readonly DeliveryRecord[],
  left: readonly DeliveryRecord[],
): DeliveryRecord | undefined {
  const subjects = new Set(left.map(subjectOf));
  return queue.find((one) => !subjects.has(subjectOf(one)));
}

function isUrgent({ notice }: DeliveryRecord): boolean {
  const { level, event } = notice as unknown as Notice;
  return level === "CRITICAL" && event !== "resolved";
}

function subjectOf({ alert_id, id }: DeliveryRecord): string {
  return alert_id ?? id;
}
