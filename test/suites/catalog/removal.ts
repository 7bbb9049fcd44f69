import { expect, test } from "bun:test";
import type { Catalog } from "../../../src/catalog/catalog.ts";
import type { EmptyBackup } from "../../../src/catalog/outlines.ts";
import type { BackupRecord, CopyRecord, RetainedBackupRecord } from "../../../src/catalog/records.ts";
import { backupRecord, copyRecord, tombstoneOf } from "./records.ts";

const retained = async (catalog: Catalog) => {
  await using snapshot = await catalog.retained();
  return (await Array.fromAsync(snapshot.backups())).flat();
};

/** Backups that may be removed, their removal, and the tombstones. */
export function removed(use: () => Catalog, reopen: () => Promise<void>): void {
  test("removing a backup removes its copies, leaves a tombstone, and changes no other backup", async () => {
    const [gone, stays] = [backupRecord({ server: "removed" }), backupRecord({ server: "removed" })];
    for (const backup of [gone, stays]) {
      await use().insertBackup(backup);
      await use().putCopy(copyRecord(backup, { state: "DELETED" }));
    }
    const tombstone = tombstoneOf(gone, { dump_bytes: 5, was_good: false, removed_by: "forget" });
    await use().removeBackup(tombstone);
    await reopen();
    expect(await use().backup(gone.id)).toBeUndefined();
    expect(await use().copies(gone.id)).toEqual([]);
    expect(await use().backup(stays.id)).toEqual(stays);
    expect(await use().copies(stays.id)).toHaveLength(1);
    expect(await use().tombstones({ server: "removed" })).toEqual([tombstone]);
    await expect(use().removeBackup(tombstoneOf(gone))).rejects.toMatchObject({ code: "storage" });
    expect(await use().tombstones({ server: "removed" })).toEqual([tombstone]);
  });

  test("a snapshot for retention holds each copy that is or should be there; backups without copies are listed apart", async () => {
    const server = "retained";
    const held = {
      held_at: "2026-01-02T00:00:00.000Z",
      hold_until: "2026-02-02T00:00:00.000Z",
      hold_reason: "audit",
    };
    const states = ["INTENDED", "FAILED", "DELETING", "HIDDEN", "DELETED", "MISSING", "DAMAGED", "CONFIRMED"];
    const kept = backupRecord({ server, status: "PARTIAL", ...held });
    await use().insertBackup(kept);
    for (const state of states as CopyRecord["state"][])
      await use().putCopy(
        copyRecord(kept, {
          storage: state,
          state,
          object_bytes: 7,
          locked_until: "2026-09-01T00:00:00.000Z",
        }),
      );
    const empty = [1, 2].map((day) =>
      backupRecord({ server, status: "VERIFIED", started_at: `2025-01-0${day}T00:00:00.000Z` }),
    );
    for (const backup of empty.toReversed()) {
      await use().insertBackup(backup);
      for (const state of ["FAILED", "DELETED"] as const)
        await use().putCopy(copyRecord(backup, { storage: state, state }));
    }
    await use().insertBackup(backupRecord({ server, status: "RUNNING" }));
    const { id, database, host, status, started_at } = kept;
    const row = { id, server, database, host, status, started_at, ...held };
    const mine = (await retained(use())).filter((backup) => backup.server === server);
    for (const { copies } of mine) copies.sort((one, other) => (one.storage < other.storage ? -1 : 1));
    const copies = (["CONFIRMED", "DAMAGED", "MISSING"] as const).map((state) => ({
      storage: state,
      state,
      object_bytes: 7,
      locked_until: "2026-09-01T00:00:00.000Z",
      lock_mode: null,
      lock_error: null,
      lock_place: null,
      confirmed_at: null,
    }));
    expect(mine).toEqual([{ ...row, copies }]);
    for (const state of states)
      expect(await use().copyStates(state, ["absent", kept.object_key])).toEqual(
        new Map([[kept.object_key, state as CopyRecord["state"]]]),
      );
    const without = (await Array.fromAsync(use().backupsWithoutCopies())).flat();
    expect(without.filter((backup) => backup.server === server)).toEqual(empty.map(emptyOf));
  });

  test("a snapshot for retention comes database by database, newest first, and does not change", async () => {
    const server = "snapshot";
    const made: BackupRecord[] = [];
    // More than are read at once, databases mixed, every third one with the time of the one before.
    for (let n = 0; n < 520; n++) {
      const started_at = new Date(Date.UTC(2026, 0, 1) + (n - (n % 3 === 2 ? 2 : 0)) * 60_000).toISOString();
      made.push(
        backupRecord({
          server,
          database: `database ${n % 2}`,
          object_key: `${server}/${n}`,
          status: "VERIFIED",
          started_at,
        }),
      );
    }
    for (const backup of made) {
      await use().insertBackup(backup);
      await use().putCopy(copyRecord(backup, { state: "CONFIRMED" }));
    }
    const order = ({ database, started_at, id }: RetainedBackupRecord | BackupRecord) => [
      database,
      started_at,
      id,
    ];
    const expected = made.toSorted((a, b) =>
      a.database !== b.database
        ? a.database < b.database
          ? -1
          : 1
        : `${a.started_at} ${a.id}` > `${b.started_at} ${b.id}`
          ? -1
          : 1,
    );
    const [first] = made as [BackupRecord];
    {
      await using snapshot = await use().retained();
      const own = async () =>
        (await Array.fromAsync(snapshot.backups())).flat().filter((backup) => backup.server === server);
      for await (const batch of snapshot.backups()) {
        expect(batch.length).toBeLessThan(520);
        if (batch.length > 0) break;
      }
      await use().updateCopy(first.id, "local", { state: "MISSING" });
      await use().insertBackup(backupRecord({ server, status: "VERIFIED" }));
      expect((await own()).map(order)).toEqual(expected.map(order));
      const again = await own();
      expect(again.find(({ id }) => id === first.id)?.copies).toMatchObject([{ state: "CONFIRMED" }]);
      expect(again.map(order)).toEqual(expected.map(order));
    }
    const keys = made.map(({ object_key }) => object_key);
    expect((await use().copyStates("local", keys)).size).toBe(made.length);
    const now = (await retained(use())).find(({ id }) => id === first.id);
    expect(now?.copies).toMatchObject([{ state: "MISSING" }]);
    // The other tests count what is there.
    for (const backup of made) await use().removeBackup(tombstoneOf(backup));
  });

  test("the last tombstone whose id begins with a prefix", async () => {
    const removed = ["c0ffee00-1", "c0ffee00-2", "c0ffef00-3"].map((start, n) =>
      tombstoneOf(
        backupRecord({ id: start + crypto.randomUUID().slice(start.length), server: "by prefix" }),
        {
          removed_at: `2026-06-0${3 - n}T00:00:00.000Z`,
        },
      ),
    );
    for (const tombstone of removed) {
      await use().insertBackup(backupRecord({ id: tombstone.backup_id, server: "by prefix" }));
      await use().removeBackup(tombstone);
    }
    const [first, second, third] = removed;
    expect(await use().tombstoneByPrefix("C0FFEE")).toEqual(first);
    expect(await use().tombstoneByPrefix("c0ffee00-2")).toEqual(second);
    expect(await use().tombstoneByPrefix(third?.backup_id ?? "")).toEqual(third);
    expect(await use().tombstoneByPrefix("c0ffed")).toBeUndefined();
    expect(await use().tombstoneByPrefix("c0%")).toBeUndefined();
  });

  test("tombstones are newest first, filtered, and pruned by age", async () => {
    const server = "tombstones";
    const all = [];
    for (const [month, database] of [
      ["01", "app"],
      ["03", "other"],
      ["02", "app"],
    ] as const) {
      const backup = backupRecord({ server, database });
      await use().insertBackup(backup);
      const tombstone = tombstoneOf(backup, { removed_at: `2026-${month}-01T00:00:00.000Z` });
      await use().removeBackup(tombstone);
      all.push(tombstone);
    }
    const [first, last, middle] = all as [(typeof all)[0], (typeof all)[0], (typeof all)[0]];
    expect(await use().tombstones({ server })).toEqual([last, middle, first]);
    expect(await use().tombstones({ server, database: "app", limit: 1 })).toEqual([middle]);
    expect(await use().pruneTombstones(middle.removed_at, { hosts: [], servers: [server] })).toBe(0);
    expect(await use().pruneTombstones(middle.removed_at)).toBe(1);
    expect(await use().tombstones({ server })).toEqual([last, middle]);
  });

  test("a backup that was removed may come back and be removed again", async () => {
    const backup = backupRecord({ server: "again" });
    await use().insertBackup(backup);
    await use().removeBackup(tombstoneOf(backup));
    await use().insertBackup(backup);
    const tombstone = tombstoneOf(backup, { removed_at: "2026-06-01T00:00:00.000Z" });
    await use().removeBackup(tombstone);
    expect(await use().tombstones({ server: "again" })).toEqual([tombstone]);
  });
}

/** Which globals are kept for the dumps of their server. */
export function retainedGlobals(use: () => Catalog): void {
  test("globals are needed by the dumps of their run, and by those before the next globals", async () => {
    const server = "roles";
    const globals = { server, database: "globals", kind: "globals", status: "VERIFIED" } as const;
    const add = async (change: Partial<BackupRecord>, state: CopyRecord["state"] = "CONFIRMED") => {
      const backup = backupRecord({ server, status: "VERIFIED", ...change });
      await use().insertBackup(backup);
      await use().putCopy(copyRecord(backup, { state }));
      return backup.id;
    };
    const at = (day: number, hour: number) => `2026-03-0${day}T0${hour}:00:00.000Z`;
    const run = crypto.randomUUID();
    const ofRun = await add({ ...globals, started_at: at(1, 0), run_id: run });
    const alone = await add({ ...globals, started_at: at(2, 0) });
    // Adopted, so of another run: the globals before it are the nearest.
    const before = await add({ ...globals, started_at: at(3, 0) });
    await add({ database: "app", started_at: at(3, 5) });
    const failed = await add({ ...globals, started_at: at(3, 6) }, "FAILED");
    // The end of a long run: other globals have been backed up meanwhile.
    await add({ database: "shop", started_at: at(4, 0), run_id: run });
    const removed = await add({ ...globals, started_at: at(5, 0) });
    await add({ database: "app", started_at: at(5, 1) }, "DELETED");
    await add({ server: "another", database: "app", started_at: at(5, 2) });
    const found = (await retained(use())).filter((backup) => backup.server === server);
    const needed = (id: string) => found.find((backup) => backup.id === id)?.is_needed;
    expect([ofRun, alone, before, removed].map(needed)).toEqual([true, undefined, true, undefined]);
    expect(found.some(({ id }) => id === failed)).toBeFalse();
    expect(found.filter(({ database }) => database !== "globals").map(({ is_needed }) => is_needed)).toEqual([
      undefined,
      undefined,
    ]);
  });
}

function emptyOf(backup: BackupRecord): EmptyBackup {
  const { id, server, database, host, kind, started_at, dump_bytes, object_bytes, held_at, hold_until } =
    backup;
  return { id, server, database, host, kind, started_at, dump_bytes, object_bytes, held_at, hold_until };
}
