import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { backupRecord, copyRecord } from "../../../test/suites/catalog/records.ts";
import { systemClock } from "../../base/clock.ts";
import type { Catalog } from "../catalog.ts";
import type { CopyState } from "../records.ts";
import { openSqlite } from "./sqlite.ts";

const NOW = systemClock.now();
const month = (past: number) =>
  new Date(Date.UTC(NOW.getUTCFullYear(), NOW.getUTCMonth() - past, 1)).toISOString().slice(0, 7);

let directory: string;
let catalog: Catalog;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "pg321-usage-"));
  catalog = await openSqlite(join(directory, "catalog.db"), systemClock);
});
afterAll(async () => {
  await catalog[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

async function store(
  database: string,
  bytes: number,
  startedAt: string,
  copies: Record<string, CopyState>,
): Promise<string> {
  const backup = backupRecord({ database, started_at: startedAt, object_bytes: bytes, status: "VERIFIED" });
  await catalog.insertBackup(backup);
  for (const [storage, state] of Object.entries(copies))
    await catalog.putCopy(copyRecord(backup, { storage, state, object_bytes: bytes }));
  return backup.id;
}

test("what was stored at the end of each month, although it changed in some only", async () => {
  await store("small", 10, "2026-01-01T00:00:00.000Z", { disk: "CONFIRMED" });
  await store("big", 100, "2026-01-01T00:00:00.000Z", { disk: "CONFIRMED", r2: "HIDDEN" });
  await store("big", 200, "2026-01-02T00:00:00.000Z", { disk: "CONFIRMED", r2: "MISSING" });
  await store("big", 50, "2199-01-01T00:00:00.000Z", { disk: "CONFIRMED", r2: "FAILED" });
  // Now: 350 confirmed of "big" on disk, 10 of "small"; r2 has had no confirmed copy.
  const sum = (bytes: number, past: number, growth: number | null) => ({
    ...{ month: month(past), storage: "disk", copies: expect.any(Number), bytes, growth_bytes: growth },
  });
  expect(await catalog.usage.months({}, 12, NOW)).toEqual([sum(360, 0, null)]);
  expect(await catalog.usage.growth({}, 12, NOW)).toEqual([]);
  const database = new Database(join(directory, "catalog.db"));
  const insert = database.query("INSERT INTO stored_months VALUES ('main', ?, 'disk', ?, 1, ?)");
  insert.run("big", month(5), 30);
  insert.run("big", month(3), 110);
  insert.run("small", month(2), 5);
  database.close();
  expect(await catalog.usage.months({}, 12, NOW)).toEqual([
    sum(30, 5, null),
    sum(30, 4, 0),
    sum(110, 3, 80),
    sum(115, 2, 5),
    sum(115, 1, 0),
    sum(360, 0, 245),
  ]);
  expect(await catalog.usage.months({ database: "big" }, 2, NOW)).toEqual([sum(110, 1, 0), sum(350, 0, 240)]);
  // The current month is not over: from the end of month 5 to the end of month 1.
  expect(await catalog.usage.growth({ database: "big" }, 12, NOW)).toEqual([
    { server: "main", database: "big", storage: "disk", bytes_per_month: 20 },
  ]);
  expect(await catalog.usage.growth({ database: "big" }, 2, NOW)).toMatchObject([{ bytes_per_month: 0 }]);
});

test("a copy that goes is less in the current month, and old months are forgotten, but not the last of them", async () => {
  const id = await store("shrinks", 1000, "2026-01-01T00:00:00.000Z", { usb: "CONFIRMED" });
  const usb = { storage: "usb" };
  expect(await catalog.usage.months(usb, 1, NOW)).toMatchObject([{ copies: 1, bytes: 1000 }]);
  const database = new Database(join(directory, "catalog.db"));
  database.query("UPDATE stored_months SET month = ? WHERE storage = 'usb'").run(month(40));
  database.query("INSERT INTO stored_months VALUES ('main', 'shrinks', 'usb', ?, 1, 500)").run(month(41));
  await catalog.updateCopy(id, "usb", { state: "DELETED" });
  expect(await catalog.usage.months(usb, 1, NOW)).toMatchObject([
    { copies: 0, bytes: 0, growth_bytes: -1000 },
  ]);
  const left = database.query("SELECT month FROM stored_months WHERE storage = 'usb' ORDER BY month").all();
  expect(left).toEqual([{ month: month(40) }, { month: month(0) }]);
  database.close();
});
