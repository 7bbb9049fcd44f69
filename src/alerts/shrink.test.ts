import { expect, test } from "bun:test";
import type { AlertLab } from "../../test/lab/alert-context.ts";
import { alertLab } from "../../test/lab/alert-context.ts";
import { backupRecord } from "../../test/suites/catalog/records.ts";
import { HOUR_MS } from "../base/limits.ts";
import { unknownFacts } from "../postgres/counts/facts.ts";
import { alertIfShrunk } from "./shrink.ts";

/** Good dumps of these sizes, one per hour, each checked as it comes. Returns whether an alert is open after each. */
async function dumps(lab: AlertLab, ...sizes: number[]): Promise<boolean[]> {
  const isOpen: boolean[] = [];
  for (const dump_bytes of sizes) {
    await lab.clock.advance(HOUR_MS);
    const started_at = lab.clock.now().toISOString();
    const backup = backupRecord({ status: "VERIFIED", dump_bytes, started_at });
    await lab.catalog.insertBackup(backup);
    await alertIfShrunk(lab, backup);
    isOpen.push((await lab.catalog.alerts({ open: true })).length > 0);
  }
  return isOpen;
}

/** A good dump from which the config left out everything but the definitions. */
async function schemaOnlyDump(lab: AlertLab, dump_bytes: number): Promise<boolean> {
  await lab.clock.advance(HOUR_MS);
  const left_out = {
    ...{
      key: "0123456789abcdef",
      settings: {},
      schema_only: true,
      options: [],
      tables: [],
      tables_omitted: 0,
    },
    ...{ rows_of: [], rows_of_omitted: 0, large_objects: true, extensions: false, unmatched: [] },
  };
  const facts = { ...unknownFacts("not counted"), left_out };
  const started_at = lab.clock.now().toISOString();
  const backup = backupRecord({ status: "VERIFIED", dump_bytes, started_at, facts });
  await lab.catalog.insertBackup(backup);
  await alertIfShrunk(lab, backup);
  return (await lab.catalog.alerts({ open: true })).length > 0;
}

test("a dump is compared only with dumps of the same selection", async () => {
  await using lab = await alertLab();
  await dumps(lab, 100, 100);
  expect(await schemaOnlyDump(lab, 10)).toBe(false);
  // It is the first of its kind; the next ones have it to compare with.
  expect(await schemaOnlyDump(lab, 2)).toBe(true);
  // The whole database again: the alert about the other selection says nothing about it.
  expect(await dumps(lab, 90, 10)).toEqual([false, true]);
});

async function acknowledge(lab: AlertLab): Promise<void> {
  for (const { id } of await lab.catalog.alerts({ unacknowledged: true }))
    await lab.catalog.acknowledgeAlert(id, lab.clock.now().toISOString());
}

test("a dump of less than half the usual size raises an alert; exactly half does not", async () => {
  await using lab = await alertLab();
  expect(await dumps(lab, 1, 100, 1000, 49, 110)).toEqual([false, false, false, true, false]);
  await using other = await alertLab();
  expect(await dumps(other, 100, 98, 102, 50, 48)).toEqual([false, false, false, false, true]);
  expect(await other.catalog.alerts({ open: true })).toMatchObject([
    {
      level: "WARNING",
      server: "main",
      database: "app",
      metadata: { dump_bytes: 48, usual_bytes: 98, shrunk_at: "2026-11-23T05:00:00.000Z" },
    },
  ]);
});

test("later small dumps are compared with the usual size before the first of them, however many come", async () => {
  await using lab = await alertLab();
  await dumps(lab, 100, 100, 100, 10, 10, 10, 10, 10, 10, 10);
  const [alert] = await lab.catalog.alerts({ open: true });
  expect(alert).toMatchObject({
    count: 7,
    metadata: { usual_bytes: 100, shrunk_at: "2026-11-23T04:00:00.000Z" },
  });
  expect(await dumps(lab, 60)).toEqual([false]);
});

test("after acknowledgement the new size is the usual one, and less than half of it raises a new alert", async () => {
  await using lab = await alertLab();
  await dumps(lab, 100, 100, 100, 10);
  await acknowledge(lab);
  expect(await dumps(lab, 10, 9, 11)).toEqual([false, false, false]);
  expect(await dumps(lab, 4)).toEqual([true]);
  expect(await lab.catalog.alerts({ unacknowledged: true })).toMatchObject([{ count: 1 }]);
});

test("a dump that shrinks again right after the acknowledgement raises a new alert", async () => {
  await using lab = await alertLab();
  await dumps(lab, 100, 100, 100, 10);
  await acknowledge(lab);
  expect(await dumps(lab, 4)).toEqual([true]);
  expect(await lab.catalog.alerts({ unacknowledged: true })).toMatchObject([
    { count: 1, metadata: { usual_bytes: 10 } },
  ]);
});

test("the first dump, failed dumps and other databases raise nothing; 0 turns the check off", async () => {
  await using lab = await alertLab();
  await lab.catalog.insertBackup(backupRecord({ status: "FAILED", dump_bytes: 1000 }));
  await lab.catalog.insertBackup(backupRecord({ status: "VERIFIED", dump_bytes: 1000, database: "other" }));
  expect(await dumps(lab, 10)).toEqual([false]);
  lab.config.guard.shrunk_percent = 0;
  expect(await dumps(lab, 1)).toEqual([false]);
});
