import { expect, test } from "bun:test";
import { endpointLab } from "../../../test/lab/endpoint.ts";
import { backupRecord, copyRecord } from "../../../test/suites/catalog/records.ts";
import { HOUR_MS } from "../../base/limits.ts";
import { GLOBALS_DATABASE } from "../../catalog/globals.ts";
import { planCleanup } from "./plan.ts";
import { staleAfterMs } from "./stale-after.ts";

const NOW = new Date("2026-11-23T00:00:00Z");

const hoursFor = async (more: string, database = "app", databases: string[] = []) => {
  await using lab = await endpointLab({ more });
  const [first, ...places] = [database, ...databases].map((name) => ({ server: "main", database: name }));
  if (!first) throw new Error("expected a place");
  return (
    staleAfterMs(lab.context.config, first, NOW, [...places, { server: "other", database: "often" }]) /
    HOUR_MS
  );
};

test("is three times the longest interval of the database's own backup schedule", async () => {
  expect(await hoursFor("")).toBe(72);
  expect(await hoursFor('[schedule]\nbackup = "@hourly"')).toBe(3);
  expect(await hoursFor('[schedule]\nbackup = "0 2 * * 1-5"')).toBe(3 * 72);
  const busy = '[[schedule.override]]\nname = "busy"\ndatabases = ["shop_*"]\nbackup = "0 */6 * * *"';
  expect(await hoursFor(busy, "shop_1")).toBe(18);
  expect(await hoursFor(busy)).toBe(72);
});

test("is for globals three times the interval of the server's database that is backed up most often", async () => {
  const own = '[schedule]\nbackup = "@daily"\n[[database]]\nname = "often"\nschedule = "@hourly"\n';
  expect(await hoursFor(own, GLOBALS_DATABASE, ["app", "often"])).toBe(3);
  expect(await hoursFor(own, GLOBALS_DATABASE, ["app"])).toBe(72);
  const off = '[schedule]\nbackup = "off"\n[[database]]\nname = "often"\nschedule = "@hourly"\n';
  expect(await hoursFor(off, GLOBALS_DATABASE, ["app", "often"])).toBe(3);
  expect(await hoursFor('[schedule]\nbackup = "off"', GLOBALS_DATABASE, ["app"])).toBe(72);
});

test("is three days for databases without a schedule, and the configured value for all databases", async () => {
  expect(await hoursFor('[schedule]\nbackup = "off"')).toBe(72);
  const other = '[[schedule.override]]\nname = "none"\ndatabases = ["shop"]\nbackup = "off"';
  expect(await hoursFor(`[schedule]\nbackup = "@hourly"\n${other}`, "shop")).toBe(72);
  expect(await hoursFor('[guard]\nstale_after = "36h"\n[schedule]\nbackup = "@hourly"')).toBe(36);
});

test("decides when retention guards the copies of a database", async () => {
  const guards = async (more: string) => {
    await using lab = await endpointLab({ more });
    const { catalog } = lab.context;
    for (const started_at of ["2026-11-22T19:00:00.000Z", "2026-01-02T00:00:00.000Z"]) {
      const backup = backupRecord({ started_at, status: "VERIFIED" });
      await catalog.insertBackup(backup);
      await catalog.putCopy(copyRecord(backup, { storage: "disk", state: "CONFIRMED", object_bytes: 1 }));
    }
    await using snapshot = await catalog.retained();
    const found: unknown[] = [];
    await planCleanup(
      lab.context,
      async () => snapshot,
      {},
      (decisions) => {
        for (const { action, guard } of decisions) found.push([action, guard]);
      },
    );
    return found;
  };
  expect(await guards("")).toEqual([
    ["keep", undefined],
    ["expire", undefined],
  ]);
  expect(await guards('[schedule]\nbackup = "@hourly"')).toEqual([
    ["keep", undefined],
    ["keep", "stale"],
  ]);
});
