import { expect, test } from "bun:test";
import type { AlertLab } from "../../test/lab/alert-context.ts";
import { alertLab } from "../../test/lab/alert-context.ts";
import { backupRecord, tombstoneOf } from "../../test/suites/catalog/records.ts";
import { HOUR_MS } from "../base/limits.ts";
import { GLOBALS_DATABASE } from "../catalog/globals.ts";
import type { BackupRecord } from "../catalog/records.ts";
import { alertPasswords } from "./password-alerts.ts";

async function globals(lab: AlertLab, passwords: boolean, server = "main"): Promise<number[]> {
  await backUp(lab, passwords, server);
  return (await lab.catalog.alerts({ open: true })).map(({ count }) => count);
}

async function backUp(lab: AlertLab, passwords: boolean, server = "main"): Promise<BackupRecord> {
  await lab.clock.advance(HOUR_MS);
  const backup = backupRecord({
    ...{ server, database: GLOBALS_DATABASE, kind: "globals", status: "VERIFIED" },
    ...{ started_at: lab.clock.now().toISOString(), facts: { roles: 1, tablespaces: 0, passwords } },
  });
  await lab.catalog.insertBackup(backup);
  await alertPasswords(lab, backup);
  return backup;
}

test("globals that lose the passwords raise one alert until these are back", async () => {
  await using lab = await alertLab();
  expect(await globals(lab, true)).toEqual([]);
  expect(await globals(lab, false)).toEqual([1]);
  expect(await globals(lab, false)).toEqual([2]);
  const [alert] = await lab.catalog.alerts({ open: true });
  expect(alert).toMatchObject({ key: "passwords main", level: "WARNING", server: "main", database: null });
  expect(alert?.metadata["hint"]).toContain("pg_authid");
  expect(await globals(lab, true)).toEqual([]);
});

test("an acknowledged loss stays acknowledged, also once the earlier globals are gone", async () => {
  await using lab = await alertLab();
  const first = await backUp(lab, true);
  const second = await backUp(lab, false);
  const [raised] = await lab.catalog.alerts({ open: true });
  expect(raised?.metadata).toMatchObject({
    backup_id: second.id,
    last_with_passwords: { id: first.id, started_at: first.started_at },
    hint: expect.stringContaining(`pg321 hold ${first.id.slice(0, 8)}`),
  });
  for (const { id } of await lab.catalog.alerts({ unacknowledged: true }))
    await lab.catalog.acknowledgeAlert(id, lab.clock.now().toISOString());
  // Retention lets the only globals with passwords go.
  await lab.catalog.removeBackup(tombstoneOf(first));
  const third = await backUp(lab, false);
  const [alert, ...others] = await lab.catalog.alerts({ open: true });
  expect(others).toEqual([]);
  expect(alert?.count).toBe(2);
  expect(alert?.metadata).toMatchObject({ backup_id: third.id, last_with_passwords: null });
  expect(alert?.metadata["hint"]).not.toContain("pg321 hold");
  expect(alert?.acknowledged_at).not.toBeNull();
});

test("globals that never had passwords raise none, nor do those of another server", async () => {
  await using lab = await alertLab();
  await globals(lab, true, "other");
  expect(await globals(lab, false)).toEqual([]);
  expect(await globals(lab, false)).toEqual([]);
});
