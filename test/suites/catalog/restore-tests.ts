import { expect, test } from "bun:test";
import type { Catalog } from "../../../src/catalog/catalog.ts";
import type { RestoreTestRecord } from "../../../src/catalog/records.ts";

let count = 0;

function restoreTest(change: Partial<RestoreTestRecord>): RestoreTestRecord {
  const minute = String(count++).padStart(2, "0");
  return {
    id: crypto.randomUUID(),
    run_id: crypto.randomUUID(),
    prover: null,
    backup_id: crypto.randomUUID(),
    server: "proved",
    database: "app",
    backup_started_at: "2026-01-01T00:00:00.000Z",
    storage: "disk",
    target: "throwaway",
    outcome: "PASSED",
    started_at: `2026-01-02T00:${minute}:00.000Z`,
    finished_at: `2026-01-02T00:${minute}:30.000Z`,
    fetch_ms: 12,
    restore_ms: 3456,
    check_ms: 78,
    dump_bytes: 2 ** 43 + 1,
    checks: [{ name: "rows", is_ok: true, expected: 3, found: 3, detail: null }],
    error: null,
    ...change,
  };
}

/** Results of restore tests; every test has databases of its own. */
export function restoreTests(use: () => Catalog, reopen: () => Promise<void>): void {
  const add = async (...records: RestoreTestRecord[]) => {
    for (const record of records) await use().restoreTests.add(record);
  };

  test("come back as they were written, newest first, also after reopening; a known one stays", async () => {
    const [first, second] = [
      restoreTest({ database: "kept" }),
      restoreTest({ database: "kept", storage: null }),
    ];
    await add(first, second, { ...first, outcome: "FAILED" });
    await reopen();
    const { restoreTests: tests } = use();
    expect(await tests.list({ server: "proved", database: "kept" })).toEqual([second, first]);
    expect(await tests.list({ database: "kept", limit: 1 })).toEqual([second]);
    expect(await tests.list({ backup_id: first.backup_id })).toEqual([first]);
  });

  test("the newest of a database, without those that could not be carried out", async () => {
    const of = (change: Partial<RestoreTestRecord>) => restoreTest({ server: "latest", ...change });
    const [passed, failed, error] = [of({}), of({ outcome: "FAILED" }), of({ outcome: "ERROR" })];
    const other = of({ database: "other" });
    await add(passed, failed, error, other);
    const own = (records: RestoreTestRecord[]) => records.filter(({ server }) => server === "latest");
    expect(own(await use().restoreTests.latest())).toEqual([failed, other]);
    expect(own(await use().restoreTests.latestPassed())).toEqual([passed, other]);
  });

  test("a test of an older backup does not replace that of a newer one; a date ahead of the test does not count", async () => {
    const of = (day: string, outcome: RestoreTestRecord["outcome"], database = "app") =>
      restoreTest({ server: "ranked", database, outcome, backup_started_at: `${day}T00:00:00.000Z` });
    const passed = of("2025-12-31", "PASSED");
    const failed = of("2026-01-01", "FAILED");
    await add(passed, failed, of("2025-12-30", "PASSED"));
    const own = (records: RestoreTestRecord[]) => records.filter(({ server }) => server === "ranked");
    expect(own(await use().restoreTests.latest())).toEqual([failed]);
    expect(own(await use().restoreTests.latestPassed())).toEqual([passed]);
    const again = of("2026-01-01", "PASSED");
    await add(again);
    expect(own(await use().restoreTests.latest())).toEqual([again]);
    const [ahead, later] = [of("2036-01-01", "FAILED", "ahead"), of("2026-01-02", "PASSED", "ahead")];
    await add(ahead, { ...later, backup_started_at: later.started_at });
    expect((await use().restoreTests.latest()).find(({ database }) => database === "ahead")?.id).toBe(
      later.id,
    );
  });

  test("tell when each storage was tested last", async () => {
    const of = (storage: string | null, outcome: RestoreTestRecord["outcome"] = "PASSED") =>
      restoreTest({ server: "rotating", storage, outcome });
    const [older, disk, cloud] = [of("disk"), of("disk"), of("cloud", "FAILED")];
    await add(older, disk, cloud, of("cloud", "ERROR"), of(null));
    expect(await use().restoreTests.latestByStorage("rotating", "app")).toEqual([
      { storage: "cloud", finished_at: cloud.finished_at },
      { storage: "disk", finished_at: disk.finished_at },
    ]);
  });

  test("old ones are removed, but not the newest and the newest passed of a database", async () => {
    const of = (outcome: RestoreTestRecord["outcome"]) => restoreTest({ server: "pruned", outcome });
    const older = [of("PASSED"), of("FAILED")];
    const [passed, failed] = [of("PASSED"), of("FAILED")];
    await add(...older, passed, failed, of("ERROR"));
    const all = await use().restoreTests.list({ server: "pruned" });
    await use().restoreTests.prune("2027-01-01T00:00:00.000Z", ["pruned"]);
    expect(await use().restoreTests.list({ server: "pruned" })).toEqual(all);
    await use().restoreTests.prune("2027-01-01T00:00:00.000Z");
    expect(await use().restoreTests.list({ server: "pruned" })).toEqual([failed, passed]);
  });
}
