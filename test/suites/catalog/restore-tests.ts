import { expect, test } from "bun:test";
import type { Catalog } from "../../../src/catalog/catalog.ts";
import type { RestoreTestRecord } from "../../../src/catalog/records.ts";

let count = 0;

export function restoreTest(change: Partial<RestoreTestRecord>): RestoreTestRecord {
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
export function restoreTests(
  use: () => Catalog,
  reopen: () => Promise<void>,
  /** Another session of the same catalog. */
  another: () => Promise<Catalog>,
): void {
  const add = async (...records: RestoreTestRecord[]) => {
    for (const record of records) await use().restoreTests.add(record);
  };

  const standings = async (server: string) =>
    (await use().restoreTests.standings()).filter((one) => one.server === server);

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
    const [app, second] = await standings("latest");
    const { finished_at, storage } = passed;
    const recoveries = [{ finished_at, storage, recovery_ms: 3468 }];
    const newest = { outcome: "ERROR", prover: null, error: null };
    const standing: unknown = {
      server: "latest",
      database: "app",
      latest: failed,
      passed,
      newest,
      recoveries,
    };
    expect<unknown>(app).toEqual(standing);
    expect(second).toMatchObject({ latest: other, passed: other, newest: { outcome: "PASSED" } });
  });

  test("a test of an older backup does not replace that of a newer one; a date ahead of the test does not count", async () => {
    const of = (day: string, outcome: RestoreTestRecord["outcome"], database = "app") =>
      restoreTest({ server: "ranked", database, outcome, backup_started_at: `${day}T00:00:00.000Z` });
    const passed = of("2025-12-31", "PASSED");
    const failed = of("2026-01-01", "FAILED");
    await add(passed, failed, of("2025-12-30", "PASSED"));
    expect(await standings("ranked")).toMatchObject([{ latest: failed, passed }]);
    const again = of("2026-01-01", "PASSED");
    await add(again);
    expect(await standings("ranked")).toMatchObject([{ latest: again, passed: again }]);
    const [ahead, later] = [of("2036-01-01", "FAILED", "ahead"), of("2026-01-02", "PASSED", "ahead")];
    await add(ahead, { ...later, backup_started_at: later.started_at });
    const found = (await standings("ranked")).find(({ database }) => database === "ahead");
    expect(found?.latest?.id).toBe(later.id);
  });

  test("the last ten recovery times of a database, without those that were not measured", async () => {
    const of = (change: Partial<RestoreTestRecord>) => restoreTest({ server: "quick", ...change });
    const tests = Array.from({ length: 12 }, (_, index) => of({ restore_ms: index }));
    await add(...tests, of({ restore_ms: null }), of({ outcome: "FAILED" }));
    const [standing] = await standings("quick");
    expect(standing?.recoveries.map(({ recovery_ms }) => recovery_ms)).toEqual(
      [11, 10, 9, 8, 7, 6, 5, 4, 3, 2].map((restore) => 12 + restore),
    );
  });

  test("those that are removed leave what is shown of the others", async () => {
    const of = (change: Partial<RestoreTestRecord>) => restoreTest({ server: "long", ...change });
    // By the dates of their backups the first ones are the newest.
    const [failed, passed] = [
      of({ outcome: "FAILED", backup_started_at: "2026-01-01T00:01:00.000Z" }),
      of({ backup_started_at: "2026-01-01T00:00:30.000Z" }),
    ];
    await add(failed, passed);
    const tests = Array.from({ length: 14 }, (_, index) => of({ restore_ms: index }));
    await add(...tests);
    for (const last of [1, 6, 13]) {
      await use().restoreTests.prune(tests[last]?.finished_at ?? "");
      const [standing] = await standings("long");
      const left = tests.slice(Math.max(last, 4)).map(({ finished_at, storage, restore_ms }) => {
        return { finished_at, storage, recovery_ms: 12 + Number(restore_ms) };
      });
      const own = { finished_at: passed.finished_at, storage: "disk", recovery_ms: 3468 };
      const recoveries = [...left.toReversed(), own].slice(0, 10);
      expect({ last, standing }).toEqual({
        last,
        standing: expect.objectContaining({ latest: failed, passed, recoveries }),
      });
    }
  });

  test("two sessions that add tests of one database at the same time leave both", async () => {
    const of = () => restoreTest({ server: "busy" });
    await using other = await another();
    for (let round = 0; round < 10; round++) await Promise.all([add(of()), other.restoreTests.add(of())]);
    const [standing] = await standings("busy");
    const [newest] = await use().restoreTests.list({ server: "busy" });
    expect(standing).toMatchObject({ latest: newest, passed: newest });
    expect(standing?.recoveries).toHaveLength(10);
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
    expect(await standings("pruned")).toMatchObject([
      { latest: failed, passed, newest: { outcome: "FAILED" }, recoveries: [expect.anything()] },
    ]);
    // Without a passed or failed one nothing is kept of a database.
    const gone = restoreTest({ server: "gone", outcome: "ERROR", error: 'it said "no"\n\\' });
    await add(gone);
    expect(await standings("gone")).toMatchObject([
      { latest: null, passed: null, newest: { outcome: "ERROR", error: gone.error }, recoveries: [] },
    ]);
    await use().restoreTests.prune("2027-01-01T00:00:00.000Z");
    expect(await standings("gone")).toEqual([]);
  });
}
