import { expect, test } from "bun:test";
import { systemClock } from "../../../src/base/clock.ts";
import type { Catalog } from "../../../src/catalog/catalog.ts";
import type { CopyState } from "../../../src/catalog/records.ts";
import { backupRecord, copyRecord } from "./records.ts";

const NOW = systemClock.now();
const server = "usage";

/** Makes a backup and its copies; returns its id. */
export async function store(
  catalog: Catalog,
  made: {
    server: string;
    database: string;
    bytes: number;
    started_at: string;
    copies: Record<string, CopyState>;
  },
): Promise<string> {
  const { bytes: object_bytes, copies, ...place } = made;
  const backup = backupRecord({ ...place, object_bytes, status: "VERIFIED" });
  await catalog.insertBackup(backup);
  for (const [storage, state] of Object.entries(copies))
    await catalog.putCopy(copyRecord(backup, { storage, state, object_bytes }));
  return backup.id;
}

/** What copies take, now and at the end of this month. */
export function usage(use: () => Catalog): void {
  test("copies that take room are summed up, the largest database first", async () => {
    await store(use(), {
      server,
      database: "small",
      bytes: 10,
      started_at: "2026-01-01T00:00:00.000Z",
      copies: { disk: "CONFIRMED" },
    });
    await store(use(), {
      server,
      database: "big",
      bytes: 100,
      started_at: "2026-01-01T00:00:00.000Z",
      copies: { disk: "CONFIRMED", r2: "HIDDEN" },
    });
    await store(use(), {
      server,
      database: "big",
      bytes: 300,
      started_at: "2026-01-03T00:00:00.000Z",
      copies: { disk: "DAMAGED", r2: "DELETING" },
    });
    await store(use(), {
      server,
      database: "big",
      bytes: 200,
      started_at: "2026-01-02T00:00:00.000Z",
      copies: { disk: "CONFIRMED", r2: "MISSING" },
    });
    await store(use(), {
      server,
      database: "big",
      bytes: 50,
      started_at: "2199-01-01T00:00:00.000Z",
      copies: { disk: "CONFIRMED", r2: "FAILED" },
    });
    await store(use(), {
      server,
      database: "none",
      bytes: 50,
      started_at: "2026-01-01T00:00:00.000Z",
      copies: { disk: "DELETED", r2: "INTENDED" },
    });
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
    const id = await store(use(), {
      server,
      database: database,
      bytes: 1000,
      started_at: "2026-01-01T00:00:00.000Z",
      copies: { usb: "CONFIRMED" },
    });
    const months = () => use().usage.months({ server, database }, 12, NOW);
    const month = NOW.toISOString().slice(0, 7);
    const first = { month, storage: "usb", growth_bytes: null };
    expect(await months()).toEqual([{ ...first, copies: 1, bytes: 1000 }]);
    await use().updateCopy(id, "usb", { state: "DELETED" });
    expect(await months()).toEqual([{ ...first, copies: 0, bytes: 0 }]);
    expect(await use().usage.growth({ server, database }, 12, NOW)).toEqual([]);
  });
}

const monthBefore = (past: number) =>
  new Date(Date.UTC(NOW.getUTCFullYear(), NOW.getUTCMonth() - past, 1)).toISOString().slice(0, 7);

/** What was stored in past months, which are put into the table, because the catalog's clock is the real one. */
export function pastMonths(use: () => Catalog, change: (sql: string) => Promise<unknown[]>): void {
  const server = OF_MONTHS;
  const insert = (database: string, storage: string, at: string, bytes: number) =>
    change(
      `INSERT INTO stored_months VALUES ('${server}', '${database}', '${storage}', '${at}', 1, ${bytes})`,
    );

  test("what was stored at the end of each month, although it changed in some only", async () => {
    const store = (...stored: Stored) => storeOn(use(), ...stored);
    await store("small", 10, "2026-01-01T00:00:00.000Z", { disk: "CONFIRMED" });
    await store("big", 100, "2026-01-01T00:00:00.000Z", { disk: "CONFIRMED", r2: "HIDDEN" });
    await store("big", 200, "2026-01-02T00:00:00.000Z", { disk: "CONFIRMED", r2: "MISSING" });
    await store("big", 50, "2199-01-01T00:00:00.000Z", { disk: "CONFIRMED", r2: "FAILED" });
    // Now: 350 confirmed of "big" on disk, 10 of "small"; r2 has had no confirmed copy.
    const sum = (bytes: number, past: number, growth: number | null) => ({
      ...{
        month: monthBefore(past),
        storage: "disk",
        copies: expect.any(Number),
        bytes,
        growth_bytes: growth,
      },
    });
    const { usage } = use();
    expect(await usage.months({ server }, 12, NOW)).toEqual([sum(360, 0, null)]);
    expect(await usage.growth({ server }, 12, NOW)).toEqual([]);
    await insert("big", "disk", monthBefore(5), 30);
    await insert("big", "disk", monthBefore(3), 110);
    await insert("small", "disk", monthBefore(2), 5);
    expect(await usage.months({ server }, 12, NOW)).toEqual([
      sum(30, 5, null),
      sum(30, 4, 0),
      sum(110, 3, 80),
      sum(115, 2, 5),
      sum(115, 1, 0),
      sum(360, 0, 245),
    ]);
    const big = { server, database: "big" };
    expect(await usage.months(big, 2, NOW)).toEqual([sum(110, 1, 0), sum(350, 0, 240)]);
    // The current month is not over: from the end of month 5 to the end of month 1.
    expect(await usage.growth(big, 12, NOW)).toEqual([{ ...big, storage: "disk", bytes_per_month: 20 }]);
    expect(await usage.growth(big, 2, NOW)).toMatchObject([{ bytes_per_month: 0 }]);
  });

  test("a copy that goes is less in the current month, and old months are forgotten, but not the last of them", async () => {
    const id = await storeOn(use(), "shrinks", 1000, "2026-01-01T00:00:00.000Z", { usb: "CONFIRMED" });
    const usb = { server, storage: "usb" };
    expect(await use().usage.months(usb, 1, NOW)).toMatchObject([{ copies: 1, bytes: 1000 }]);
    await change(
      `UPDATE stored_months SET month = '${monthBefore(40)}' WHERE storage = 'usb' AND server = '${server}'`,
    );
    await insert("shrinks", "usb", monthBefore(41), 500);
    await use().updateCopy(id, "usb", { state: "DELETED" });
    expect(await use().usage.months(usb, 1, NOW)).toMatchObject([
      { copies: 0, bytes: 0, growth_bytes: -1000 },
    ]);
    const left = `SELECT month FROM stored_months WHERE storage = 'usb' AND server = '${server}' ORDER BY month`;
    expect(await change(left)).toEqual([{ month: monthBefore(40) }, { month: monthBefore(0) }]);
  });
}

/** On a server of its own: the other tests sum up theirs. */
const OF_MONTHS = "months";

type Stored = [
  database: string,
  bytes: number,
  started_at: string,
  copies: Parameters<typeof store>[1]["copies"],
];

function storeOn(catalog: Catalog, ...[database, bytes, started_at, copies]: Stored): Promise<string> {
  return store(catalog, { server: OF_MONTHS, database, bytes, started_at, copies });
}
