import { expect, test } from "bun:test";
import type { Catalog } from "../../../src/catalog/catalog.ts";
import type { OutlineFilter } from "../../../src/catalog/outlines.ts";
import type { BackupRecord } from "../../../src/catalog/records.ts";
import { backupRecord, copyRecord, tombstoneOf } from "./records.ts";

type Use = () => Catalog;

/** What is read of very many backups, page by page. */
export function outlines(use: Use): void {
  test("of every backup with a manifest come page by page, newest first, with the copies, each once", async () => {
    const status = "INTERRUPTED";
    const expected: string[] = [];
    for (let n = 0; n < 600; n++) {
      // Many began at the same moment, so pages end among them.
      const started_at = `2026-04-01T00:00:0${n % 3}.000Z`;
      const backup = backupRecord({ status, started_at, manifest: n % 6 === 5 ? null : "{}" });
      await use().insertBackup(backup);
      if (n % 2 === 0) await use().putCopy(copyRecord(backup, { storage: "b", state: "CONFIRMED" }));
      if (n % 4 === 0) await use().putCopy(copyRecord(backup, { storage: "a", state: "MISSING" }));
      const copies = n % 4 === 0 ? "a:MISSING b:CONFIRMED" : n % 2 === 0 ? "b:CONFIRMED" : "";
      if (n % 6 !== 5) expected.push(`${started_at} ${backup.id} ${copies}`);
    }
    const found: string[] = [];
    let pages = 0;
    for await (const page of use().outlines({ status: [status] })) {
      pages++;
      for (const { id, started_at, copies } of page)
        found.push(
          `${started_at} ${id} ${copies.map(({ storage, state }) => `${storage}:${state}`).join(" ")}`,
        );
    }
    expect(found).toEqual(expected.toSorted().reverse());
    expect(pages).toBeGreaterThan(1);
    expect((await Array.fromAsync(use().outlines({}))).flat().length).toBeGreaterThanOrEqual(found.length);
  });

  test("of one database, of one server, and also without a manifest", async () => {
    const server = "outlined";
    const made = [
      backupRecord({ server, database: "app", started_at: "2026-04-01T00:00:00.000Z", manifest: "{}" }),
      backupRecord({ server, database: "app", started_at: "2026-04-02T00:00:00.000Z", status: "FAILED" }),
      backupRecord({ server, database: "other", started_at: "2026-04-03T00:00:00.000Z", manifest: "{}" }),
    ];
    for (const backup of made) await use().insertBackup(backup);
    const [whole, failed, other] = made.map(({ id }) => id);
    const ids = async (filter: OutlineFilter) =>
      (await Array.fromAsync(use().outlines(filter))).flat().map(({ id }) => id);
    expect(await ids({ server })).toEqual([other, whole] as string[]);
    expect(await ids({ server, database: "app", isAny: true })).toEqual([failed, whole] as string[]);
    expect(await ids({ server, isAny: true, status: ["FAILED"] })).toEqual([failed] as string[]);
    expect(await ids({ database: "other", isAny: true })).toContain(other as string);
    expect(await ids({ database: "other", server: "nowhere" })).toEqual([]);
  });
}

export function pagesOfCopies(use: Use): void {
  test("are found by state page by page, each once, with their databases, while they change", async () => {
    const expected: string[] = [];
    for (let n = 0; n < 400; n++) {
      const backup = backupRecord({ server: "paged", database: `database ${n % 2}` });
      await use().insertBackup(backup);
      for (const [storage, state] of [
        ["a", n % 2 === 0 ? "HIDDEN" : "MISSING"],
        ["b", n % 3 === 0 ? "CONFIRMED" : "HIDDEN"],
      ] as const) {
        await use().putCopy(copyRecord(backup, { storage, state }));
        if (state !== "CONFIRMED") expected.push(`${backup.id} ${storage} paged/${backup.database}`);
      }
    }
    const found: string[] = [];
    let pages = 0;
    for await (const page of use().placedCopies(["MISSING", "HIDDEN"])) {
      pages++;
      for (const { backup_id, storage, server, database } of page) {
        if (server === "paged") found.push(`${backup_id} ${storage} ${server}/${database}`);
        if (server === "paged") await use().updateCopy(backup_id, storage, { state: "DELETED" });
      }
    }
    expect(found).toEqual(expected.sort());
    expect(pages).toBeGreaterThan(1);
    expect(await Array.fromAsync(use().placedCopies([]))).toEqual([]);
  });

  test("backups without copies come oldest first, each once, while they are removed, beside many with copies", async () => {
    const server = "emptied";
    const empty: BackupRecord[] = [];
    for (let n = 0; n < 800; n++) {
      // Many began at the same moment, so pages end among them.
      const started_at = `2025-01-01T00:00:0${n % 3}.000Z`;
      const backup = backupRecord({ server, status: "FAILED", started_at });
      await use().insertBackup(backup);
      if (n % 4 !== 0)
        await use().putCopy(copyRecord(backup, { state: n % 4 === 1 ? "FAILED" : "CONFIRMED" }));
      if (n % 4 < 2) empty.push(backup);
    }
    const found: string[] = [];
    for await (const page of use().backupsWithoutCopies())
      for (const backup of page.filter((one) => one.server === server)) {
        found.push(`${backup.started_at} ${backup.id}`);
        await use().removeBackup(tombstoneOf(backup as BackupRecord));
      }
    expect(found).toEqual(empty.map(({ started_at, id }) => `${started_at} ${id}`).sort());
    const left = (await Array.fromAsync(use().backupsWithoutCopies())).flat();
    expect(left.filter((one) => one.server === server)).toEqual([]);
    await use().pruneTombstones("9999");
  });
}
