import { expect, test } from "bun:test";
import { alertLab } from "../../../test/lab/alert-context.ts";
import { backupRecord, copyRecord } from "../../../test/suites/catalog/records.ts";
import { GLOBALS_DATABASE } from "../../catalog/globals.ts";
import type { BackupRecord, CopyRecord } from "../../catalog/records.ts";
import type { JobContext } from "../context.ts";
import { globalsFor } from "./with-globals.ts";

test("the globals of a dump are those of its run, otherwise the newest good ones before it, or the first after it", async () => {
  await using lab = await alertLab();
  const { catalog } = lab;
  const store = async (
    day: number,
    change: Partial<BackupRecord>,
    state: CopyRecord["state"] = "CONFIRMED",
  ) => {
    const started_at = `2026-01-${String(day).padStart(2, "0")}T00:00:00.000Z`;
    const globals = { database: GLOBALS_DATABASE, kind: "globals", status: "VERIFIED", started_at } as const;
    const backup = backupRecord({ ...globals, ...change });
    await catalog.insertBackup(backup);
    await catalog.putCopy(copyRecord(backup, { state }));
    return backup;
  };
  const dump = await store(15, { database: "app", kind: "dump" });
  const found = async () => (await globalsFor(lab as unknown as JobContext, dump)).id;
  await store(14, { status: "FAILED" });
  await store(14, {}, "MISSING");
  await store(15, { unreadable: "damaged" });
  await store(14, { server: "other" });
  await expect(found()).rejects.toMatchObject({ code: "usage" });
  for (let day = 31; day > 17; day--) for (const _ of [1, 2]) await store(day, {});
  const { id: after } = await store(17, {});
  expect(await found()).toBe(after);
  await store(12, {});
  const { id: before } = await store(13, {});
  expect(await found()).toBe(before);
  const { id: same } = await store(15, {});
  expect(await found()).toBe(same);
  const { id: ofRun } = await store(16, { run_id: dump.run_id });
  expect(await found()).toBe(ofRun);
});
