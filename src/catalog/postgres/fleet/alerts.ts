import type { AlertChange, AlertScope } from "../../catalog.ts";
import type { AlertRecord, DeliveryRecord } from "../../records.ts";
import { hostOf, OPEN_ALERT, OWN_ALERT, OWN_DELIVERY } from "../../sqlite/fleet/alerts.ts";
import { insertion, upsert } from "../../sqlite/statements.ts";
import { ALERTS, DELIVERIES, fromRow } from "../../sqlite/tables.ts";
import type { Transaction } from "../transactions.ts";

/** PostgreSQL cannot tell the type of a value that is only compared with NULL. */
const OPEN = OPEN_ALERT.replace("$host IS NULL", "CAST($host AS text) IS NULL");

/** `Catalog.changeAlert` in a transaction. */
export async function changeAlert(
  transaction: Transaction,
  key: string,
  decide: (open: AlertRecord | undefined) => AlertChange | undefined,
  scope: AlertScope | undefined,
): Promise<AlertRecord | undefined> {
  // Two daemons must not open an alert of one key.
  await transaction.lock("alert", key);
  const [row] = await transaction.rows(OPEN, { key, host: scope?.host ?? null });
  const { host: before = null, ...fields } = row ?? {};
  const open = row === undefined ? undefined : fromRow(ALERTS, fields);
  const decided = decide(open);
  if (!decided) return undefined;
  const { alert, deliveries } = decided;
  const isOpen = alert.id === open?.id;
  await transaction.run(...(isOpen ? upsert(ALERTS, ["id"], alert) : insertion("INSERT", ALERTS, alert)));
  const host = isOpen ? before : hostOf(alert, scope);
  if (!isOpen && host !== null) await transaction.run(OWN_ALERT, { id: alert.id, host });
  await insertDeliveries(transaction, deliveries, scope?.host ?? null);
  return alert;
}

export async function insertDeliveries(
  { run }: Transaction,
  records: readonly DeliveryRecord[],
  host: string | null,
): Promise<void> {
  for (const record of records) {
    await run(...insertion("INSERT", DELIVERIES, record));
    if (host !== null) await run(OWN_DELIVERY, { id: record.id, host });
  }
}
