import { messageOf, Pg321Error } from "../base/errors.ts";
import { DELIVERY_AGE_MS_MAX, DELIVERY_RETRY_MS, DELIVERY_RETRY_MS_MAX, MINUTE_MS } from "../base/limits.ts";
import type { DeliveryRecord } from "../catalog/records.ts";
import type { NotifyConfig } from "../config/config.ts";
import type { Notice } from "../notify/notice.ts";
import { sendNotice } from "../notify/send.ts";
import { remindOfAlerts } from "./alert.ts";
import type { DeliveryContext } from "./alert-context.ts";

/** An attempt whose process died is repeated once its timeout and this time have passed. */
const CLAIM_GRACE_MS = MINUTE_MS;

/**
 * Sends the pending notices and the reminders that are due: each notifier's notices in order, all notifiers in
 * parallel. A notifier that fails gets nothing until its next attempt is due, which survives a restart. Failures are
 * recorded and logged; never throws.
 */
export async function deliverAlerts(context: DeliveryContext): Promise<void> {
  await remindOfAlerts(context);
  try {
    await Promise.all(context.config.notify.map((notifier) => deliverTo(context, notifier)));
    await dropUnknown(context);
  } catch (error) {
    // A stop of the program stops this too: the next run sends the rest.
    if (!context.signal.aborted)
      context.log.error("notices could not be delivered", { error: messageOf(error) });
  }
}

/** Stops at the first notice that is not due: it waits for its next attempt, or another process is sending it. */
async function deliverTo(context: DeliveryContext, notifier: NotifyConfig): Promise<void> {
  const { catalog, clock } = context;
  for (;;) {
    context.signal.throwIfAborted();
    const [delivery] = await catalog.deliveries({ notifier: notifier.name, state: "PENDING", limit: 1 });
    if (!delivery) return;
    const now = clock.now();
    const claimMs = notifier.timeout_ms + CLAIM_GRACE_MS;
    const until = after(now, claimMs);
    // No pause is this long: the clock was ahead when the notice was postponed.
    if (delivery.next_try_at > after(now, Math.max(claimMs, DELIVERY_RETRY_MS_MAX)))
      await catalog.updateDelivery(delivery.id, { next_try_at: now.toISOString() });
    if (!(await catalog.claimDelivery(delivery.id, now.toISOString(), until))) return;
    await tryDelivery(context, notifier, delivery);
  }
}

async function tryDelivery(
  context: DeliveryContext,
  notifier: NotifyConfig,
  delivery: DeliveryRecord,
): Promise<void> {
  const { catalog, clock, log } = context;
  try {
    await sendNotice(notifier, delivery.notice as unknown as Notice, context);
    const finished_at = clock.now().toISOString();
    await catalog.updateDelivery(delivery.id, { state: "DELIVERED", finished_at, error: null });
  } catch (error) {
    if (context.signal.aborted) {
      await catalog.updateDelivery(delivery.id, { next_try_at: clock.now().toISOString() });
      throw error;
    }
    const change = afterFailure(delivery, error, clock.now());
    const fields = { notifier: notifier.name, delivery_id: delivery.id, error: messageOf(error) };
    if (change.state === "FAILED") log.error("a notice was not delivered and is given up", fields);
    else
      log.warning("a notice was not delivered and will be tried again", {
        ...fields,
        next_try_at: change.next_try_at,
      });
    await catalog.updateDelivery(delivery.id, change);
  }
}

function afterFailure(delivery: DeliveryRecord, cause: unknown, now: Date): Partial<DeliveryRecord> {
  const error = messageOf(cause);
  const isRefused = cause instanceof Pg321Error && !cause.retryable;
  const ageMs = now.getTime() - Date.parse(delivery.created_at);
  if (isRefused || ageMs >= DELIVERY_AGE_MS_MAX)
    return { state: "FAILED", finished_at: now.toISOString(), error };
  const pauseMs = Math.min(DELIVERY_RETRY_MS_MAX, DELIVERY_RETRY_MS * 2 ** delivery.attempts);
  return { next_try_at: after(now, pauseMs), error };
}

/** Gives up the notices for notifiers that are no longer in the config. */
async function dropUnknown({ catalog, clock, config }: DeliveryContext): Promise<void> {
  const known = new Set([...config.notify, ...config.unusable].map(({ name }) => name));
  const finished_at = clock.now().toISOString();
  for (const { id, notifier } of await catalog.deliveries({ state: "PENDING" })) {
    if (known.has(notifier)) continue;
    const error = `the config no longer has a notifier "${notifier}"`;
    await catalog.updateDelivery(id, { state: "FAILED", finished_at, error });
  }
}

function after(now: Date, durationMs: number): string {
  return new Date(now.getTime() + durationMs).toISOString();
}
