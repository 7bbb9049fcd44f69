import { expect, test } from "bun:test";
import { alertLab } from "../../../../test/lab/alert-context.ts";
import { backupRecord, copyRecord } from "../../../../test/suites/catalog/records.ts";
import type { JobContext } from "../../context.ts";
import { backupsAt } from "./choose.ts";

const [BEFORE, AT, LATER] = ["2026-01-01", "2026-01-02", "2026-01-03"].map((day) => `${day}T00:00:00.000Z`);

test("a database that was there and has no good backup is missing, unlike one that was gone or came later", async () => {
  await using lab = await alertLab();
  const { catalog } = lab;
  const see = (names: string[], at = BEFORE) => catalog.overview.seeDatabases("main", names, at ?? "");
  const backUp = async (database: string, status: "VERIFIED" | "FAILED", started_at = BEFORE) => {
    const backup = backupRecord({
      database,
      status,
      started_at: started_at ?? "",
      finished_at: started_at ?? "",
    });
    await catalog.insertBackup(backup);
    if (status === "VERIFIED") await catalog.putCopy(copyRecord(backup, { state: "CONFIRMED" }));
  };
  await see(["app", "gone", "broken", "never"]);
  await see(["app", "broken", "never"], AT);
  await see(["app", "broken", "never", "later"], LATER);
  await backUp("app", "VERIFIED");
  await backUp("gone", "VERIFIED");
  await backUp("broken", "FAILED");
  await backUp("later", "VERIFIED", LATER);
  const { backups, left_out } = await backupsAt(lab as unknown as JobContext, "main", new Date(AT ?? ""));
  expect(backups.map(({ database }) => database)).toEqual(["app"]);
  expect(Object.fromEntries(left_out.map(({ database, kind }) => [database, kind]))).toEqual({
    ...{ broken: "no_backup", gone: "gone", later: "later", never: "no_backup" },
  });
});
