import { expect, test } from "bun:test";
import type { Catalog } from "../../../src/catalog/catalog.ts";

export function scratchDatabases(use: () => Catalog, reopen: () => Promise<void>): void {
  test("are remembered until they are forgotten", async () => {
    const record = (id: string) => ({
      ...{ id, run_id: "r", server: "source main", name: `test_restore_app_${id}`, oid: null },
      ...{ comment: "c", role: null, is_made: false, created_at: `2026-01-01T00:00:0${id}.000Z` },
    });
    const [first, second] = [record("1"), { ...record("2"), oid: 2_000_000_000, role: "test_restore_2" }];
    for (const one of [first, second]) await use().scratchDatabases.add(one);
    await use().scratchDatabases.made("1", 1_500_000_000);
    await reopen();
    const made = { ...first, oid: 1_500_000_000, is_made: true };
    expect(await use().scratchDatabases.all()).toEqual([made, second]);
    await use().scratchDatabases.forget("1");
    expect(await use().scratchDatabases.all()).toEqual([second]);
  });
}
