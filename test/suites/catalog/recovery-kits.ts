import { expect, test } from "bun:test";
import type { Catalog } from "../../../src/catalog/catalog.ts";
import type { BackupRecord } from "../../../src/catalog/records.ts";
import { backupRecord } from "./records.ts";

export function recoveryKits(use: () => Catalog, reopen: () => Promise<void>): void {
  test("the last recovery kit is remembered", async () => {
    expect(await use().recoveryKits.last()).toBeUndefined();
    const first = { made_at: "2026-01-03T00:00:00.000Z", fingerprint: "a".repeat(64) };
    // Of a clock that was set back: it is still the one made last.
    const second = { made_at: "2026-01-02T00:00:00.000Z", fingerprint: "b".repeat(64) };
    for (const one of [first, second]) await use().recoveryKits.record(one);
    await reopen();
    expect(await use().recoveryKits.last()).toEqual(second);
  });

  test("good encrypted backups are counted by their recipients, newest first", async () => {
    const before = await use().recoveryKits.sealedBackups();
    const made = (day: number, change: Partial<BackupRecord>) =>
      use().insertBackup(
        backupRecord({ started_at: `2030-01-0${day}T00:00:00.000Z`, status: "VERIFIED", ...change }),
      );
    await made(1, { recipients: "age1old" });
    await made(3, { recipients: "age1new age1safe", status: "PARTIAL" });
    await made(2, { recipients: "age1old" });
    await made(4, { recipients: "age1old", status: "FAILED" });
    await made(5, { recipients: null, encryption: "none" });
    const added = (await use().recoveryKits.sealedBackups()).filter(
      ({ recipients }) => !before.some((one) => one.recipients?.join() === recipients?.join()),
    );
    const at = (day: number) => `2030-01-0${day}T00:00:00.000Z`;
    expect(added).toEqual([
      { recipients: ["age1new", "age1safe"], backups: 1, first_started_at: at(3), last_started_at: at(3) },
      { recipients: ["age1old"], backups: 2, first_started_at: at(1), last_started_at: at(2) },
    ]);
  });
}
