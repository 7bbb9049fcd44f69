import { messageOf } from "../base/errors.ts";
import { REMINDER_MS, REMINDER_MS_MAX } from "../base/limits.ts";
import type { AlertRecord } from "../catalog/records.ts";
import type { AlertLevel, Job } from "../config/config.ts";
import type { NoticeEvent } from "../notify/notice.ts";
import type { AlertContext } from "./alert-context.ts";
import { isHostKey } from "./host-key.ts";
import { isMilder, noticesFor } from "./notices.ts";

export interface AlertRequest {
  level: AlertLevel;
  job: Job;
  run_id: string | null;
  server: string | null;
  database: string | null;
  /** Identifies the problem: `backup main/app`. Repeats of it share the key. */
  key: string;
  /** One sentence: what failed on what. No secret. */
  message: string;
  metadata: Record<string, unknown>;
  /** A single event, such as a success: notified once, never open, no reminders. INFO is always an event. */
  isEvent?: boolean;
  /** Recorded, but sent to nobody: a person has just seen it on the terminal. */
  isQuiet?: boolean;
  /** Stays open without reminders: `status` shows it, and nothing gets worse while it waits. */
  isWithoutReminders?: boolean;
}

/**
 * Records a problem or a success and queues its notices. A problem that is already open is counted, and is
 * notified again only if it got worse; `deliverAlerts` sends the reminders. Never throws: an alert that cannot be
 * recorded is logged and fails no job.
 */
export async function raiseAlert(context: AlertContext, request: AlertRequest): Promise<void> {
  const now = context.clock.now().toISOString();
  await change(context, request.key, (open) => {
    if (!open || isEvent(request))
      return { alert: newAlert(request, now), event: request.isQuiet ? undefined : "raised" };
    const isWorse = isMilder(open.level, request.level);
    const { level, ...fields } = fieldsOf(request);
    const alert: AlertRecord = { ...open, ...fields, count: open.count + 1, last_at: now };
    if (!isWorse) return { alert, event: undefined };
    const reminders = { reminders: 0, remind_at: firstReminder(request, now), acknowledged_at: null };
    return { alert: { ...alert, ...reminders, level }, event: "raised" };
  });
}

/**
 * Resolves the open alert with this key, if there is one, and queues the notices that it is resolved. `resolution` says
 * in one sentence how it is now: `main/app is backed up again`. Never throws.
 */
export async function resolveAlert(context: AlertContext, key: string, resolution: string): Promise<void> {
  const now = context.clock.now().toISOString();
  await change(context, key, (open) => {
    if (!open) return undefined;
    return { alert: { ...open, resolved_at: now, remind_at: null }, event: "resolved", resolution };
  });
}

/** Changes the open alert with this key, if there is one, without a notice. Never throws. */
export async function amendAlert(
  context: AlertContext,
  key: string,
  amend: (open: AlertRecord) => AlertRecord,
): Promise<void> {
  await change(context, key, (open) => open && { alert: amend(open), event: undefined });
}

/**
 * Ends the open alert with this key, if there is one, without a notice: the problem is not over, but another alert is
 * about it now. Never throws.
 */
export async function supersedeAlert(context: AlertContext, key: string): Promise<void> {
  const now = context.clock.now().toISOString();
  await amendAlert(context, key, (open) => ({ ...open, resolved_at: now, remind_at: null }));
}

/** Queues reminders of the open alerts that nobody has acknowledged and whose reminder is due. Never throws. */
export async function remindOfAlerts(context: AlertContext): Promise<void> {
  const now = context.clock.now().toISOString();
  // No interval is this long: the clock was ahead when the reminder was scheduled.
  const tooFar = new Date(Date.parse(now) + REMINDER_MS_MAX).toISOString();
  const isDue = ({ remind_at, acknowledged_at }: AlertRecord) =>
    remind_at !== null && (remind_at <= now || remind_at > tooFar) && acknowledged_at === null;
  for (const { key } of (await openAlerts(context)).filter(isDue)) {
    // The alert is one for all hosts: one that has a notifier sends the reminder.
    if (isHostKey(key) && context.config.notify.length === 0) continue;
    await change(context, key, (open) => {
      if (!open || !isDue(open)) return undefined;
      const reminders = open.reminders + 1;
      return { alert: { ...open, reminders, remind_at: remindAt(now, reminders) }, event: "reminder" };
    });
  }
}

async function openAlerts({ catalog, log }: AlertContext): Promise<AlertRecord[]> {
  try {
    return await catalog.alerts({ open: true });
  } catch (error) {
    log.error("open alerts could not be read", { error: messageOf(error) });
    return [];
  }
}

async function change(
  context: AlertContext,
  key: string,
  decide: (
    open: AlertRecord | undefined,
  ) => { alert: AlertRecord; event: NoticeEvent | undefined; resolution?: string } | undefined,
): Promise<void> {
  try {
    await context.catalog.changeAlert(key, (open) => {
      const decided = decide(open);
      if (!decided) return undefined;
      const { alert, event, resolution } = decided;
      return { alert, deliveries: event === undefined ? [] : noticesFor(context, alert, event, resolution) };
    });
  } catch (error) {
    context.log.error("an alert could not be recorded", { key, error: messageOf(error) });
  }
}

function newAlert(request: AlertRequest, now: string): AlertRecord {
  const fields = fieldsOf(request);
  const isOver = isEvent(request);
  return {
    ...fields,
    id: crypto.randomUUID(),
    count: 1,
    created_at: now,
    last_at: now,
    reminders: 0,
    remind_at: firstReminder(request, now),
    resolved_at: isOver ? now : null,
    acknowledged_at: null,
  };
}

/** The part of a request that is recorded. */
function fieldsOf({ isEvent: _e, isQuiet: _q, isWithoutReminders: _r, ...fields }: AlertRequest) {
  return fields;
}

function firstReminder(request: AlertRequest, now: string): string | null {
  return isEvent(request) || request.isWithoutReminders === true ? null : remindAt(now, 0);
}

function isEvent({ isEvent = false, level }: AlertRequest): boolean {
  return isEvent || level === "INFO";
}

/** Each interval is twice as long as the previous one. */
function remindAt(now: string, reminders: number): string {
  const intervalMs = Math.min(REMINDER_MS_MAX, REMINDER_MS * 2 ** reminders);
  return new Date(Date.parse(now) + intervalMs).toISOString();
}
