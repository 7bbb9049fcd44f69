import { expect, test } from "bun:test";
import type { BackupRecord } from "../../../../src/catalog/records.ts";
import { backupRecord, copyRecord, tombstoneOf } from "../records.ts";
import { at, type MakeFixture } from "../sums.ts";

const NOW = new Date(at(6));
/** So often that the other session's change comes between two statements of the report. */
const ROUNDS = 20;

/** Tests of the latest backups while another session changes the records. */
export function meanwhile(make: MakeFixture): void {
  test("a backup that is removed during a report leaves the one before it", async () => {
    await using fixture = await make();
    await using catalog = await fixture.open();
    await using other = await fixture.open();
    const insert = async (backup: BackupRecord) => {
      await catalog.insertBackup(backup);
      await catalog.putCopy(copyRecord(backup, { storage: "disk", state: "CONFIRMED" }));
    };
    const older = backupRecord({ status: "VERIFIED", started_at: at(1) });
    await insert(older);
    for (let round = 0; round < ROUNDS; round++) {
      const backup = backupRecord({ status: "VERIFIED", started_at: at(2) });
      await insert(backup);
      const isStanding = round % 2 === 0;
      const [found] = await Promise.all([
        isStanding ? catalog.overview.standings(NOW) : catalog.overview.latestBackups(NOW),
        other.removeBackup(tombstoneOf(backup)),
      ]);
      const ids = [backup.id, older.id];
      expect({ round, good: found[0]?.good }).toEqual({ round, good: expect.anything() });
      expect(ids).toContain(found[0]?.good?.id ?? "");
      expect(ids).toContain(found[0]?.ended?.id ?? "");
      if (isStanding) expect(found[0]?.good).toHaveProperty("copies", [expect.anything()]);
    }
  });
}
