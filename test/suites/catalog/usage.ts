import { expect, test } from "bun:test";
import { systemClock } from "../../../src/base/clock.ts";
import type { Catalog } from "../../../src/catalog/catalog.ts";
import type { CopyState } from "../../../src/catalog/records.ts";
import { backupRecord, copyRecord } from "./records.ts";

const NOW = systemClock.now();
const server = "usage";

async function store(
  catalog: Catalog,
  database: string,
  bytes: number,
  started_at: string,
  copies: Record<string, CopyState>,
): Promise<string> {
  const backup = backupRecord({ server, database, started_at, object_bytes: bytes, status: "VERIFIED" });
  await catalog.insertBackup(backup);
  for (const [storage, state] of Object.entries(copies))
    await catalog.putCopy(copyRecord(backup, { storage, state, object_bytes: bytes }));
  return backup.id;
}

/** What copies take, now and at the end of this month. */
export function usage(use: () => Catalog): void {
  test("copies that take room are summed up, the largest database first", async () => {
    await store(use(), "small", 10, "2026-01-01T00:00:00.000Z", { disk: "CONFIRMED" });
    await store(use(), "big", 100, "2026-01-01T00:00:00.000Z", { disk: "CONFIRMED", r2: "HIDDEN" });
    await store(use(), "big", 300, "2026-01-03T00:00:00.000Z", { disk: "DAMAGED", r2: "DELETING" });
    await store(use(), "big", 200, "2026-01-02T00:00:00.000Z", { disk: "CONFIRMED", r2: "MISSING" });
    await store(use(), "big", 50, "2199-01-01T00:00:00.000Z", { disk: "CONFIRMED", r2: "FAILED" });
    await store(use(), "none", 50, "2026-01-01T00:00:00.000Z", { disk: "DELETED", r2: "INTENDED" });
    const stored = await use().usage.stored({ server }, NOW);
    const place = { server, database: "big" };
    expect(stored).toEqual([
      {
        ...{ ...place, storage: "disk", copies: 4, bytes: 650, hidden_bytes: 0 },
        oldest_started_at: "2026-01-01T00:00:00.000Z",
        // Not the one that is dated ahead of the clock.
        newest_started_at: "2026-01-03T00:00:00.000Z",
        newest_bytes: 300,
      },
      {
        ...{ ...place, storage: "r2", copies: 2, bytes: 400, hidden_bytes: 100 },
        oldest_started_at: "2026-01-01T00:00:00.000Z",
        newest_started_at: "2026-01-03T00:00:00.000Z",
        newest_bytes: 300,
      },
      {
        ...{ server, database: "small", storage: "disk", copies: 1, bytes: 10, hidden_bytes: 0 },
        oldest_started_at: "2026-01-01T00:00:00.000Z",
        newest_started_at: "2026-01-01T00:00:00.000Z",
        newest_bytes: 10,
      },
    ]);
    expect(await use().usage.stored({ server, database: "big", storage: "r2" }, NOW)).toEqual(
      stored.slice(1, 2),
    );
    expect(await use().usage.stored({ server: "other" }, NOW)).toEqual([]);
  });

  test("what is stored counts for the current month, and what goes no longer does", async () => {
    const database = "shrinks";
    const id = await store(use(), database, 1000, "2026-01-01T00:00:00.000Z", { usb: "CONFIRMED" });
    const months = () => use().usage.months({ server, database }, 12, NOW);
    const month = NOW.toISOString().slice(0, 7);
    const first = { month, storage: "usb", growth_bytes: null };
    expect(await months()).toEqual([{ ...first, copies: 1, bytes: 1000 }]);
    await use().updateCopy(id, "usb", { state: "DELETED" });
    expect(await months()).toEqual([{ ...first, copies: 0, bytes: 0 }]);
    expect(await use().usage.growth({ server, database }, 12, NOW)).toEqual([]);
  });
}
