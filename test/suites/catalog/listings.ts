import { expect, test } from "bun:test";
import type { Catalog } from "../../../src/catalog/catalog.ts";
import type { ListingPosition } from "../../../src/catalog/storages/listings.ts";
import { backupRecord, copyRecord } from "./records.ts";

export function listings(use: () => Catalog, reopen: () => Promise<void>): void {
  const position: ListingPosition = {
    storage: "bucket",
    purpose: "orphans",
    storage_id: crypto.randomUUID(),
    began_at: "2026-11-01T00:00:00.000Z",
    after_key: "main/ünïcödé-😀/backup.zst",
    listed: 5_000_000_000,
    orphans: 3,
    orphan_bytes: 9_000_000_000_000,
  };
  const kept = (purpose: ListingPosition["purpose"]) => use().listings.position("bucket", purpose);

  test("a position is kept for each storage and purpose until it is forgotten", async () => {
    expect(await kept("orphans")).toBeUndefined();
    await use().listings.keep(position);
    await use().listings.keep({ ...position, purpose: "adopt", after_key: null });
    await use().listings.keep({ ...position, storage: "other" });
    await reopen();
    expect(await kept("orphans")).toEqual(position);
    expect(await kept("adopt")).toEqual({ ...position, purpose: "adopt", after_key: null });
    await use().listings.keep({ ...position, after_key: "n", listed: 5_000_001_000 });
    expect(await kept("orphans")).toEqual({ ...position, after_key: "n", listed: 5_000_001_000 });
    await use().listings.forget("bucket", "orphans");
    await use().listings.forget("bucket", "orphans");
    expect(await kept("orphans")).toBeUndefined();
    expect(await kept("adopt")).toBeDefined();
    expect(await use().listings.position("other", "orphans")).toBeDefined();
    await use().listings.forget("bucket", "adopt");
    await use().listings.forget("other", "orphans");
  });

  test("the states of 2,000 keys are found by the keys", async () => {
    const keys = Array.from({ length: 2_000 }, (_, n) => `looked-up/'"ü😀 ${n}`);
    for (const [n, state] of (["CONFIRMED", "DELETED", "INTENDED"] as const).entries()) {
      const backup = backupRecord({ server: "looked up", object_key: keys[n * 900] ?? "" });
      await use().insertBackup(backup);
      await use().putCopy(copyRecord(backup, { storage: "looked up", state }));
      // The same key elsewhere is another object.
      await use().putCopy(copyRecord(backup, { storage: "looked up too", state: "FAILED" }));
    }
    expect(await use().copyStates("looked up", keys)).toEqual(
      new Map([
        [keys[0] ?? "", "CONFIRMED"],
        [keys[900] ?? "", "DELETED"],
        [keys[1800] ?? "", "INTENDED"],
      ]),
    );
    expect(await use().copyStates("looked up", [])).toEqual(new Map());
    expect(await use().copyStates("nowhere", keys)).toEqual(new Map());
  });

  test.each([
    [["DELETED", "CONFIRMED"], "CONFIRMED"],
    [["CONFIRMED", "DELETED"], "CONFIRMED"],
    [["DELETED", "DELETED"], "DELETED"],
  ] as const)("of two copies with one key, %p, %s counts", async (states, expected) => {
    const object_key = `twice/${states}`;
    for (const state of states) {
      const backup = backupRecord({ server: "twice", object_key });
      await use().insertBackup(backup);
      await use().putCopy(copyRecord(backup, { storage: "twice", state }));
    }
    expect(await use().copyStates("twice", [object_key])).toEqual(new Map([[object_key, expected]]));
  });
}
