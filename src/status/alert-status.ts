import type { AlertRecord } from "../catalog/records.ts";
import type { AlertStatus } from "./report.ts";

/** The part of an alert that reports show. */
export function alertStatus(alert: AlertRecord): AlertStatus {
  const { id, key, level, job, server, database, message, count, created_at, last_at, acknowledged_at } =
    alert;
  const has_cause = alert.metadata["is_quiet"] === true;
  const shown = { id, key, level, job, server, database, message, count, created_at, last_at };
  return { ...shown, acknowledged_at, has_cause };
}
