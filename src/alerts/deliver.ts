import { messageOf, Pg321Error } from "../base/errors.ts";
import { DELIVERY_AGE_MS_MAX, DELIVERY_RETRY_MS, MINUTE_MS } from "../base/limits.ts";
import type { DeliveryRecord } from "../catalog/records.ts";
import type { NotifyConfig } from "../config/config.ts";
import type { Notice } from "../notify/notice.ts";
import { sendNotice } from "../notify/send.ts";
import { remindOfAlerts } from "./alert.ts";
import type { DeliveryContext } from "./alert-context.ts";
import { firstBut, inSendingOrder, nextAfterFailure } from "./queue.ts";

/** An attempt whose process died is repeated once its timeout and this time have passed. */
const CLAIM_GRACE_MS = MINUTE_MS;

/**
 * Sends the pending notices and the reminders that are due: each notifier's notices in the order of `queue.ts`, all
 * notifiers in parallel. A notifier that fails gets a single attempt now and then, also after a restart, until it takes
 * notices again. Failures are recorded and logged; never throws.
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

async function deliverTo(context: DeliveryContext, notifier: NotifyConfig): Promise<void> {
  const round: Round = { tried: new Set(), left: [] };
  const filter = { notifier: notifier.name, state: "PENDING" } as const;
  let isWorthMore = true;
  while (isWorthMore) {
    const pending = await context.catalog.deliveries(filter);
    const queue = inSendingOrder(pending, notifier.type).filter(({ id }) => !round.tried.has(id));
    isWorthMore = await sendQueue(context, notifier, queue, round);
  }
}

/** What one round has done so far for one notifier. */
interface Round {
  tried: Set<string>;
  /** Those that were tried, or were not due, and are still pending. */
  left: DeliveryRecord[];
}

/** Returns whether something was sent and the receiver still takes notices. */
async function sendQueue(
  context: DeliveryContext,
  notifier: NotifyConfig,
  queue: DeliveryRecord[],
  { tried, left }: Round,
): Promise<boolean> {
  let rest = queue;
  let hasSent = false;
  let failure: Parameters<typeof nextAfterFailure>[1] | undefined;
  for (;;) {
    context.signal.throwIfAborted();
    const next = failure ? nextAfterFailure(rest, failure, notifier.type) : firstBut(rest, left);
    if (next === undefined) return hasSent && failure === undefined;
    rest = rest.filter((one) => one !== next);
    tried.add(next.id);
    const result = await deliver(context, notifier, next);
    if (result === "done") {
      hasSent = true;
      failure = undefined;
      continue;
    }
    left.push(next);
    // Without an error it is the first attempt of another process, which sends the rest, too.
    if (failure !== undefined || (result === "not due" && next.error === null)) return false;
    failure = { failed: next, hasJustFailed: result === "failed" };
  }
}

/** `done`: delivered or given up. `not due`: it waits for its next attempt, or another process is sending it. */
async function deliver(
  context: DeliveryContext,
  notifier: NotifyConfig,
  delivery: DeliveryRecord,
): Promise<"done" | "failed" | "not due"> {
  const { catalog, clock } = context;
  const now = clock.now();
  const claimMs = notifier.timeout_ms + CLAIM_GRACE_MS;
  const until = after(now, claimMs);
  // No pause is this long: the clock was ahead when the notice was postponed.
  if (delivery.next_try_at > after(now, Math.max(claimMs, DELIVERY_RETRY_MS)))
    await catalog.updateDelivery(delivery.id, { next_try_at: now.toISOString() });
  if (!(await catalog.claimDelivery(delivery.id, now.toISOString(), until))) return "not due";
  return (await tryDelivery(context, notifier, delivery)) ? "done" : "failed";
}

/** Returns whether the notice is no longer pending. */
async function tryDelivery(
  context: DeliveryContext,
  notifier: NotifyConfig,
  delivery: DeliveryRecord,
): Promise<boolean> {
  const { catalog, clock, log } = context;
  const about = { notifier: notifier.name, delivery_id: delivery.id };
  try {
    await sendNotice(notifier, delivery.notice as unknown as Notice, context);
    const finished_at = clock.now().toISOString();
    await catalog.updateDelivery(delivery.id, { state: "DELIVERED", finished_at, error: null });
    if (delivery.error !== null) log.info("a notice was delivered after failed attempts", about);
    return true;
  } catch (error) {
    if (context.signal.aborted) {
      await catalog.updateDelivery(delivery.id, { next_try_at: clock.now().toISOString() });
      throw error;
    }
    const change = afterFailure(delivery, error, clock.now());
    await catalog.updateDelivery(delivery.id, change);
    const fields = { ...about, error: messageOf(error) };
    if (change.state === "FAILED") log.error("a notice was not delivered and is given up", fields);
    // The same failure again, every minute, is no news.
    else if (change.error !== delivery.error)
      log.warning("a notice was not delivered and will be tried again", {
        ...fields,
        next_try_at: change.next_try_at,
      });
    return change.state === "FAILED";
  }
}

function afterFailure(delivery: DeliveryRecord, cause: unknown, now: Date): Partial<DeliveryRecord> {
  const error = messageOf(cause);
  const isRefused = cause instanceof Pg321Error && !cause.retryable;
  const ageMs = now.getTime() - Date.parse(delivery.created_at);
  if (isRefused || ageMs >= DELIVERY_AGE_MS_MAX)
    return { state: "FAILED", finished_at: now.toISOString(), error };
  return { next_try_at: after(now, DELIVERY_RETRY_MS), error };
}

/** Gives up the notices for notifiers that are no longer in the config. */
async function dropUnknown({ catalog, clock, config }: DeliveryContext): Promise<void> {
  const known = new Set([...config.notify, ...config.unusable].map(({ name }) => name));
  const now = clock.now();
  const finished_at = now.toISOString();
  for (const { id, notifier, created_at } of await catalog.deliveries({ state: "PENDING" })) {
    // Another host of the fleet may have this notifier, and sends the notice.
    const isOfAnother = catalog.isShared && now.getTime() - Date.parse(created_at) < DELIVERY_AGE_MS_MAX;
    if (known.has(notifier) || isOfAnother) continue;
    const error = `the config no longer has a notifier "${notifier}"`;
    await catalog.updateDelivery(id, { state: "FAILED", finished_at, error });
  }
}

function after(now: Date, durationMs: number): string {
  return new Date(now.getTime() + durationMs).toISOString();
}
