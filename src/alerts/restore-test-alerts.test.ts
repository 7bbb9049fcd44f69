import { expect, test } from "bun:test";
import { type AlertLab, alertLab } from "../../test/lab/alert-context.ts";
import { RECEIVERS } from "../../test/lab/servers/receivers.ts";
import type { RestoreTestRecord } from "../catalog/records.ts";
import { alertTests } from "./restore-test-alerts.ts";

async function lab(): Promise<AlertLab> {
  await using receiver = await RECEIVERS.webhook();
  return alertLab(receiver.absent);
}

function tested(hour: number, day: number, change: Partial<RestoreTestRecord>): RestoreTestRecord {
  const at = `2026-01-09T0${hour}`;
  return {
    ...{ id: crypto.randomUUID(), run_id: crypto.randomUUID(), prover: null, backup_id: `backup-${day}` },
    ...{ server: "main", database: "app", backup_started_at: `2026-01-0${day}T00:00:00.000Z` },
    ...{ storage: "disk", target: "throwaway", outcome: "PASSED", dump_bytes: 1, checks: [], error: null },
    ...{ started_at: `${at}:00:00.000Z`, finished_at: `${at}:01:00.000Z` },
    ...{ fetch_ms: 1, restore_ms: 1, check_ms: 1 },
    ...change,
  };
}

const record = async (alerts: AlertLab, test: RestoreTestRecord) => {
  await alerts.catalog.restoreTests.add(test);
  await alertTests(alerts, test.run_id, [test]);
};
const open = async (alerts: AlertLab) =>
  (await alerts.catalog.alerts({ open: true })).map(({ key }) => key).sort();

test("a failed test of the newest backup is not resolved by a passed test of an older one", async () => {
  await using alerts = await lab();
  await record(alerts, tested(3, 8, { outcome: "FAILED", error: "1 table differs" }));
  await record(alerts, tested(4, 7, {}));
  expect(await open(alerts)).toEqual(["restore_test main/app"]);
  await record(alerts, tested(5, 8, {}));
  expect(await open(alerts)).toEqual([]);
});

test("an alert has the names of checks and their numbers, but no value of a row and no answer", async () => {
  await using alerts = await lab();
  const failed = { is_ok: false, expected: "0 errors", found: "3 errors" };
  const checks = [
    { ...failed, name: "pg_restore", detail: "Key (email)=(joe@example.com) is duplicated." },
    { ...failed, name: "rows", detail: "public.orders: 3 rows at the backup, 2 restored" },
    { ...failed, name: "check mail", expected: "none", found: "joe@example.com", detail: "joe@example.com" },
  ];
  await record(alerts, tested(3, 8, { outcome: "FAILED", error: "3 checks failed", checks }));
  const [alert] = await alerts.catalog.alerts({ open: true });
  expect(JSON.stringify(alert)).not.toContain("joe@");
  expect(alert?.metadata["checks"]).toEqual([
    { ...failed, name: "pg_restore", detail: null },
    { ...failed, name: "rows", detail: "public.orders: 3 rows at the backup, 2 restored" },
    { name: "check mail", is_ok: false, expected: "none", found: null, detail: null },
  ]);
});
