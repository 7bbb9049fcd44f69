import { expect, test } from "bun:test";
import type { Catalog } from "../../../src/catalog/catalog.ts";
import type { LockProbeRecord } from "../../../src/catalog/records.ts";

function lockProbe(change: Partial<LockProbeRecord>): LockProbeRecord {
  return {
    id: crypto.randomUUID(),
    storage: "probed",
    object_key: "probe.txt",
    by: "lock",
    probed_at: "2026-01-02T00:00:00.000Z",
    finished_at: "2026-01-02T00:00:01.000Z",
    refused: true,
    message: "access denied",
    locked_until: "2026-01-03T00:00:00.000Z",
    removed_at: null,
    place: '["https://r2","backups"]',
    ...change,
  };
}

/** Probes of immutability. */
export function lockProbes(use: () => Catalog, reopen: () => Promise<void>): void {
  test("the newest finished one of each storage, and those whose object may stand", async () => {
    const cut = lockProbe({ probed_at: "2026-01-05T00:00:00.000Z", finished_at: null, refused: false });
    const [old, newest] = [lockProbe({}), lockProbe({ probed_at: "2026-01-04T00:00:00.000Z" })];
    const other = lockProbe({ storage: "another", by: "append-only", refused: false });
    for (const one of [newest, cut, other, old]) await use().lockProbes.add(one);
    const removed_at = "2026-01-06T00:00:00.000Z";
    await use().lockProbes.update(other.id, { removed_at });
    await use().lockProbes.update(newest.id, { refused: false, message: "deleted" });
    await reopen();
    const changed = { ...newest, refused: false, message: "deleted" };
    expect(await use().lockProbes.latest()).toEqual([{ ...other, removed_at }, changed]);
    expect(await use().lockProbes.standing()).toEqual([old, changed, cut]);
  });
}
