import { expect, test } from "bun:test";
import type { BackupRecord, CopyRecord } from "../../../../src/catalog/records.ts";
import { alertRecord, backupRecord, copyRecord, tombstoneOf } from "../records.ts";
import { at, type MakeFixture, onNew, retainedIn, storedBackups } from "../sums.ts";

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

  test("copies of one backup that two sessions change at the same time", async () => {
    await using fixture = await make();
    await using catalog = await fixture.open();
    await using other = await fixture.open();
    const backup = backupRecord({ status: "VERIFIED", started_at: at(1) });
    // No report is about this one, only a plan.
    const older = backupRecord({ status: "VERIFIED", started_at: "2025-01-01T00:00:00.000Z" });
    for (const one of [backup, older]) {
      await catalog.insertBackup(one);
      const put = (into: typeof catalog, storage: string) =>
        into.putCopy(copyRecord(one, { storage, state: "CONFIRMED" }));
      await Promise.all([put(catalog, "disk"), put(other, "nas")]);
    }
    for (let round = 0; round < ROUNDS; round++) {
      const locked_until = at(round + 2);
      await Promise.all([
        catalog.updateCopy(backup.id, "disk", { locked_until }),
        other.updateCopy(backup.id, "nas", { locked_until }),
        catalog.updateBackup(backup.id, { dump_bytes: round }),
      ]);
      await Promise.all([
        catalog.updateCopy(older.id, "disk", { locked_until }),
        other.updateCopy(older.id, "nas", { locked_until }),
      ]);
      const [standing] = await catalog.overview.standings(NOW);
      expect(standing?.good).toMatchObject({
        dump_bytes: round,
        copies: [{ locked_until }, { locked_until }],
      });
      expect(await retainedIn(catalog)).toEqual(await storedBackups(catalog));
    }
  });

  test("a report follows copies that begin and storages that get another name", async () => {
    await using fixture = await make();
    await using catalog = await fixture.open();
    const backup = backupRecord({ status: "VERIFIED", started_at: at(1) });
    await catalog.insertBackup(backup);
    await catalog.putCopy(copyRecord(backup, { storage: "disk", state: "CONFIRMED" }));
    await catalog.putCopy(copyRecord(backup, { storage: "nas", state: "INTENDED" }));
    const copies = async () => (await catalog.overview.standings(NOW))[0]?.good?.copies ?? [];
    expect((await copies()).map(({ storage, state }) => `${storage} ${state}`)).toEqual([
      "disk CONFIRMED",
      "nas INTENDED",
    ]);
    await catalog.identities.rename([{ from: "disk", to: "usb" }]);
    expect((await copies()).map(({ storage }) => storage)).toEqual(["nas", "usb"]);
    // Of two copies under one name the confirmed one stays.
    await catalog.identities.rename([{ from: "nas", to: "usb" }]);
    expect((await copies()).map(({ storage, state }) => `${storage} ${state}`)).toEqual(["usb CONFIRMED"]);
    // What was left out may be recorded after the status.
    await catalog.updateBackup(backup.id, { facts: { left_out: { key: "part", tables: ["a"] } } });
    expect((await catalog.overview.standings(NOW))[0]?.good?.left_out).toMatchObject({ key: "part" });
  });

  test("facts with characters that PostgreSQL's text cannot hold do not stop changes of a backup", async () => {
    await using fixture = await make();
    await using catalog = await fixture.open();
    // Cut in the middle of a character, the zero that ends strings, and a path with a backslash before a "u".
    const facts = {
      "half \ud83d": "\u0000",
      path: "C:\\u0000",
      left_out: { key: "part", tables: ["a\u0000b", "\ud83d\ude00"] },
    };
    const backup = backupRecord({ started_at: at(1), dump_bytes: 7 });
    await catalog.insertBackup(backup);
    await catalog.putCopy(copyRecord(backup, { storage: "disk", state: "CONFIRMED" }));
    await catalog.updateBackup(backup.id, { status: "VERIFIED", facts });
    const [standing] = await catalog.overview.standings(NOW);
    expect(standing?.good?.left_out).toMatchObject({
      key: "part",
      tables: [expect.any(String), "\u{1f600}"],
    });
    const { server, database, kind } = backup;
    const range = { since: at(1), before: at(2), selection: "part", limit: 5 };
    expect(await catalog.overview.dumpSizes({ server, database, kind }, range)).toEqual([7]);
    await catalog.updateBackup(backup.id, { status: "FAILED" });
    expect((await catalog.overview.latestBackups(NOW))[0]?.good).toBeNull();
  });

  test("an alert with such characters can be pruned", async () => {
    await using fixture = await make();
    await using catalog = await fixture.open();
    const metadata = { "half \ud83d": "\u0000", shrunk_at: at(1) };
    const alert = alertRecord({ created_at: at(1), resolved_at: at(2), metadata });
    await catalog.changeAlert(alert.key, () => ({ alert, deliveries: [] }));
    // It holds the size that later dumps are compared with.
    expect(await catalog.pruneHistory(at(3))).toMatchObject({ alerts: 0 });
  });

  test("a plan sees a change of each column alone, and the new name of a storage", () =>
    onNew(make, async (catalog) => {
      const backup = backupRecord({ status: "VERIFIED", started_at: at(1) });
      await catalog.insertBackup(backup);
      await catalog.putCopy(copyRecord(backup, { storage: "disk", state: "CONFIRMED" }));
      const agree = async () => expect(await retainedIn(catalog)).toEqual(await storedBackups(catalog));
      const facts = [
        { host: "b" },
        { held_at: at(2) },
        { hold_until: at(3) },
        { hold_reason: "audit" },
        { status: "PARTIAL" },
      ] as const;
      for (const change of facts) {
        await catalog.updateBackup(backup.id, change);
        await agree();
      }
      const changes: Partial<CopyRecord>[] = [
        { object_bytes: 7 },
        { confirmed_at: at(2) },
        { locked_until: at(3) },
        { lock_mode: "governance" },
        { lock_error: "refused" },
        { lock_place: "elsewhere" },
        { state: "DAMAGED" },
        { state: "DELETING" },
        { state: "CONFIRMED" },
      ];
      for (const change of changes) {
        await catalog.updateCopy(backup.id, "disk", change);
        await agree();
      }
      await catalog.identities.intend("disk", crypto.randomUUID());
      await catalog.identities.rename([{ from: "disk", to: "usb" }]);
      await agree();
      expect((await retainedIn(catalog))[0]?.copies).toMatchObject([{ storage: "usb" }]);
      // Both have a copy.
      await catalog.putCopy(copyRecord(backup, { storage: "nas", state: "CONFIRMED" }));
      await catalog.identities.rename([{ from: "usb", to: "nas" }]);
      await agree();
      expect((await retainedIn(catalog))[0]?.copies).toHaveLength(1);
    }));
}
