import { expect, test } from "bun:test";
import type { BackupFilter, Catalog } from "../../../src/catalog/catalog.ts";
import { backupRecord, copyRecord, tombstoneOf } from "./records.ts";

/** Which backups a filter finds, page by page. */
export function filters(use: () => Catalog): void {
  const server = "filtered";
  const found = async (filter: BackupFilter) => {
    const backups = await use().backups({ server, ...filter });
    const { limit: _limit, offset: _offset, ...counted } = filter;
    if (_limit === undefined && _offset === undefined)
      expect(await use().countBackups({ server, ...counted })).toBe(backups.length);
    return backups.map(({ database }) => database);
  };

  test("by time and by the copies in a storage, and a part of them", async () => {
    for (const [database, day, ...copies] of [
      ["a", "01", ["disk", "CONFIRMED"], ["r2", "MISSING"]],
      ["b", "02", ["disk", "HIDDEN"], ["r2", "CONFIRMED"]],
      ["c", "03", ["disk", "CONFIRMED"]],
      ["d", "04"],
    ] as const) {
      const backup = backupRecord({ server, database, started_at: `2026-02-${day}T00:00:00.000Z` });
      await use().insertBackup(backup);
      for (const [storage, state] of copies) await use().putCopy(copyRecord(backup, { storage, state }));
    }
    expect(await found({})).toEqual(["d", "c", "b", "a"]);
    expect(await found({ startedFrom: "2026-02-02T00:00:00.000Z" })).toEqual(["d", "c", "b"]);
    expect(await found({ startedAfter: "2026-02-02T00:00:00.000Z" })).toEqual(["d", "c"]);
    expect(
      await found({ startedFrom: "2026-02-02T00:00:00.000Z", startedBy: "2026-02-03T00:00:00.000Z" }),
    ).toEqual(["c", "b"]);
    expect(await found({ copy: { storage: "r2", states: ["CONFIRMED", "MISSING"] } })).toEqual(["b", "a"]);
    expect(await found({ copy: { storage: "disk", states: ["MISSING"] } })).toEqual([]);
    expect(await found({ copy: { states: ["MISSING", "HIDDEN"] } })).toEqual(["b", "a"]);
    const onDisk = { copy: { storage: "disk", states: ["CONFIRMED", "HIDDEN"] } } as const;
    expect(await found({ ...onDisk, limit: 2 })).toEqual(["c", "b"]);
    expect(await found({ ...onDisk, limit: 2, offset: 2 })).toEqual(["a"]);
    expect(await found({ ...onDisk, database: "b" })).toEqual(["b"]);
    await use().insertBackup(backupRecord({ server, database: "e", kind: "globals" }));
    expect(await found({ kind: "globals" })).toEqual(["e"]);
    expect(await found({ kind: "dump", limit: 1 })).toEqual(["d"]);
  });

  test("tombstones are filtered by the time of the backup, and read in parts", async () => {
    const removed = [];
    for (const day of ["11", "12", "13"]) {
      const backup = backupRecord({ server: "filtered-gone", started_at: `2026-02-${day}T00:00:00.000Z` });
      await use().insertBackup(backup);
      await use().removeBackup(tombstoneOf(backup, { removed_at: `2026-03-${day}T00:00:00.000Z` }));
      removed.unshift(backup.id);
    }
    const ids = async (filter: Parameters<Catalog["tombstones"]>[0]) =>
      (await use().tombstones({ server: "filtered-gone", ...filter })).map(({ backup_id }) => backup_id);
    expect(await ids({ startedFrom: "2026-02-12T00:00:00.000Z" })).toEqual(removed.slice(0, 2));
    expect(await ids({ startedBy: "2026-02-12T00:00:00.000Z" })).toEqual(removed.slice(1));
    expect(await ids({ limit: 1, offset: 1 })).toEqual(removed.slice(1, 2));
  });
}
