import type { Database } from "bun:sqlite";
import type { AlertChange, AlertScope } from "../../catalog.ts";
import type { AlertRecord, DeliveryRecord } from "../../records.ts";
import { insertion, upsert } from "../statements.ts";
import { ALERTS, columnsOf, DELIVERIES, fromRow, type Row } from "../tables.ts";

/** The open alert with a key; if a host asks, its own rather than one of no host, and never another host's. */
export const OPEN_ALERT: string = `SELECT ${columnsOf(ALERTS)}, host FROM alerts
  WHERE key = $key AND resolved_at IS NULL AND ($host IS NULL OR host IS NULL OR host = $host)
  ORDER BY host IS NULL LIMIT 1`;
export const OWN_ALERT = "UPDATE alerts SET host = $host WHERE id = $id";
export const OWN_DELIVERY = "UPDATE deliveries SET host = $host WHERE id = $id";

/** The host that a new alert belongs to; null: none. */
export function hostOf(alert: AlertRecord, scope: AlertScope | undefined): string | null {
  return scope === undefined || scope.isShared(alert) ? null : scope.host;
}

/** `Catalog.changeAlert` in one transaction. */
export function changeAlert(
  database: Database,
  key: string,
  decide: (open: AlertRecord | undefined) => AlertChange | undefined,
  scope: AlertScope | undefined,
): AlertRecord | undefined {
  const run = ([sql, values]: [string, Row]) => database.query<never, Row>(sql).run(values);
  const change = database.transaction(() => {
    const row = database.query<Row, Row>(OPEN_ALERT).get({ key, host: scope?.host ?? null });
    const { host: before = null, ...fields } = row ?? {};
    const open = row === null ? undefined : fromRow(ALERTS, fields as Row);
    const decided = decide(open);
    if (!decided) return undefined;
    const { alert, deliveries } = decided;
    const isOpen = alert.id === open?.id;
    run(isOpen ? upsert(ALERTS, ["id"], alert) : insertion("INSERT", ALERTS, alert));
    const host = isOpen ? before : hostOf(alert, scope);
    if (!isOpen && host !== null) run([OWN_ALERT, { id: alert.id, host }]);
    insertAll(database, deliveries, scope?.host ?? null);
    return alert;
  });
  return change.immediate();
}

export function insertDeliveries(
  database: Database,
  records: readonly DeliveryRecord[],
  host: string | null,
): void {
  database.transaction(() => insertAll(database, records, host)).immediate();
}

function insertAll(database: Database, records: readonly DeliveryRecord[], host: string | null): void {
  for (const record of records) {
    const [sql, values] = insertion("INSERT", DELIVERIES, record);
    database.query<never, Row>(sql).run(values);
    if (host !== null) database.query<never, Row>(OWN_DELIVERY).run({ id: record.id, host });
  }
}
