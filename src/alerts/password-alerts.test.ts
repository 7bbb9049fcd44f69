import { expect, test } from "bun:test";
import type { AlertLab } from "../../test/lab/alert-context.ts";
import { alertLab } from "../../test/lab/alert-context.ts";
import { backupRecord } from "../../test/suites/catalog/records.ts";
import { HOUR_MS } from "../base/limits.ts";
import { GLOBALS_DATABASE } from "../catalog/globals.ts";
import { alertPasswords } from "./password-alerts.ts";

async function globals(lab: AlertLab, passwords: boolean, server = "main"): Promise<number[]> {
  await lab.clock.advance(HOUR_MS);
  const backup = backupRecord({
    ...{ server, database: GLOBALS_DATABASE, kind: "globals", status: "VERIFIED" },
    ...{ started_at: lab.clock.now().toISOString(), facts: { roles: 1, tablespaces: 0, passwords } },
  });
  await lab.catalog.insertBackup(backup);
  await alertPasswords(lab, backup);
  return (await lab.catalog.alerts({ open: true })).map(({ count }) => count);
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
  await globals(lab, true);
  await globals(lab, false);
  for (const { id } of await lab.catalog.alerts({ unacknowledged: true }))
    await lab.catalog.acknowledgeAlert(id, lab.clock.now().toISOString());
  expect(await globals(lab, false)).toEqual([2]);
  expect((await lab.catalog.alerts({ open: true }))[0]?.acknowledged_at).not.toBeNull();
});

test("globals that never had passwords raise none, nor do those of another server", async () => {
  await using lab = await alertLab();
  await globals(lab, true, "other");
  expect(await globals(lab, false)).toEqual([]);
  expect(await globals(lab, false)).toEqual([]);
});
