import { plural } from "../base/text/amounts.ts";
import type { NotifierStatus, StatusReport } from "./report.ts";
import type { StatusSource } from "./source.ts";

/** In the order of the config. */
export function notifierStatuses({
  catalog,
  config,
}: Pick<StatusSource, "catalog" | "config">): Promise<NotifierStatus[]> {
  return Promise.all(
    config.notify.map(async ({ name, type }) => ({
      name,
      type,
      ...(await catalog.overview.noticeTotals(name)),
    })),
  );
}

export function notifierProblems({ notifiers }: StatusReport): { level: "warning"; text: string }[] {
  return notifiers
    .filter(isFailing)
    .map((notifier) => ({ level: "warning", text: `${undeliveredText(notifier)}: ${notifier.error}` }));
}

/** Whether notices cannot be delivered at present; `error` is the reason. */
export function isFailing({ error }: Pick<NotifierStatus, "error">): boolean {
  return error !== null;
}

export function notifierState(notifier: NotifierStatus): "delivering" | "not delivering" | "not used yet" {
  if (isFailing(notifier)) return "not delivering";
  return notifier.last_delivered_at === null ? "not used yet" : "delivering";
}

/** `2 notices to notifier ops could not be delivered`. */
export function undeliveredText({ name, waiting, given_up }: NotifierStatus): string {
  return `${plural(waiting + given_up, "notice")} to notifier ${name} could not be delivered`;
}
