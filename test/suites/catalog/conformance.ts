import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Catalog } from "../../../src/catalog/catalog.ts";
import type { BackupRecord, CopyRecord, RunRecord } from "../../../src/catalog/records.ts";
import { alerts, deliveries } from "./alerts.ts";
import { fences, slots } from "./fences.ts";
import { filters } from "./filters.ts";
import { history } from "./history.ts";
import { hosts } from "./hosts.ts";
import { leases } from "./leases.ts";
import { listings } from "./listings.ts";
import { lockProbes } from "./lock-probes.ts";
import { ownRecords } from "./own-records.ts";
import { outlines, pagesOfCopies } from "./pages.ts";
import { backupRecord, copyRecord, runRecord } from "./records.ts";
import { removed, retainedGlobals } from "./removal.ts";
import { restoreTests } from "./restore-tests.ts";
import { ruleMarks } from "./rule-marks.ts";
import { scratchDatabases } from "./scratch-databases.ts";
import { pastMonths, usage } from "./usage.ts";

/** A catalog that is empty at first, and that can be reopened to see what was stored. */
export interface CatalogFixture extends AsyncDisposable {
  open(): Promise<Catalog>;
  /** Runs a statement in both kinds' words, beside the catalog; returns its rows. */
  change(sql: string): Promise<unknown[]>;
}

/** Tests for every implementation of `Catalog`. */
export function catalogConformance(name: string, makeFixture: () => Promise<CatalogFixture>): void {
  describe(`catalog conformance: ${name}`, () => {
    let fixture: CatalogFixture;
    let catalog: Catalog;
    beforeAll(async () => {
      fixture = await makeFixture();
      catalog = await fixture.open();
    });
    afterAll(async () => {
      await catalog[Symbol.asyncDispose]();
      await fixture[Symbol.asyncDispose]();
    });
    const reopen = async () => {
      await catalog[Symbol.asyncDispose]();
      catalog = await fixture.open();
    };
    const use = () => catalog;

    describe("installation", () => installation(use, reopen));
    describe("backups", () => backups(use, reopen));
    describe("queries of backups", () => queries(use));
    describe("filters of backups", () => filters(use));
    describe("copies", () => copies(use));
    describe("removed backups", () => removed(use, reopen));
    describe("retained globals", () => retainedGlobals(use));
    describe("newest good backup", () => newestGood(use));
    describe("outlines of backups", () => outlines(use));
    describe("pages of copies", () => pagesOfCopies(use));
    describe("runs", () => runs(use, reopen));
    describe("alerts", () => alerts(use, reopen));
    describe("deliveries", () => deliveries(use, reopen));
    describe("hosts", () => hosts(use, reopen));
    describe("own records of hosts", () => ownRecords(use, reopen));
    describe("leases", () => leases(use, reopen));
    describe("tokens of leases, and alerts of hosts", () => fences(use));
    describe("due times that hosts share", () => slots(use));
    describe("restore tests", () => restoreTests(use, reopen, () => fixture.open()));
    describe("scratch databases", () => scratchDatabases(use, reopen));
    describe("listings of storages", () => listings(use, reopen));
    describe("probes of immutability", () => lockProbes(use, reopen));
    describe("marks of 3-2-1-1-0", () => ruleMarks(use, reopen));
    describe("usage", () => usage(use));
    describe("usage of past months", () => pastMonths(use, (sql) => fixture.change(sql)));
    describe("history", () => history(use));
  });
}

type Use = () => Catalog;
type Reopen = () => Promise<void>;

function installation(use: Use, reopen: Reopen): void {
  test("the first call decides, also after reopening", async () => {
    expect(await use().installation()).toBeUndefined();
    expect(await use().belongTo("given")).toBe("given");
    expect(await use().belongTo("other")).toBe("given");
    await reopen();
    expect(await use().installation()).toBe("given");
  });
}

function backups(use: Use, reopen: Reopen): void {
  test("come back as they were written, also after reopening", async () => {
    const record = backupRecord({
      database: `a "b" 'c' ü ${"\u{1F418}"}`,
      finished_at: "2026-01-02T03:04:05.678Z",
      dump_bytes: 2 ** 43 + 1,
      object_bytes: 0,
      manifest: '{"a":"line\\n"}\n',
      stderr_tail: "pg_dump: error: …\n",
    });
    await use().insertBackup(record);
    expect(await use().backup(record.id)).toEqual(record);
    await reopen();
    expect(await use().backup(record.id)).toEqual(record);
  });

  test("an unknown id is undefined", async () => {
    expect(await use().backup(crypto.randomUUID())).toBeUndefined();
  });

  test("an update changes only the given fields, also to null", async () => {
    const record = backupRecord({ error: "first", dump_bytes: 5 });
    const other = backupRecord();
    await use().insertBackup(record);
    await use().insertBackup(other);
    await use().updateBackup(record.id, { status: "FAILED", error: null });
    await use().updateBackup(record.id, {});
    expect(await use().backup(record.id)).toEqual({ ...record, status: "FAILED", error: null });
    expect(await use().backup(other.id)).toEqual(other);
  });

  test("a second insert of one id is refused and changes nothing", async () => {
    const record = backupRecord();
    await use().insertBackup(record);
    await rejectsAsStorage(use().insertBackup({ ...record, status: "FAILED" }));
    expect(await use().backup(record.id)).toEqual(record);
  });

  test("an update of an unknown id is refused, also an empty one", async () => {
    await rejectsAsStorage(use().updateBackup(crypto.randomUUID(), { status: "FAILED" }));
    await rejectsAsStorage(use().updateBackup(crypto.randomUUID(), {}));
  });
}

function queries(use: Use): void {
  const server = `queries-${crypto.randomUUID()}`;
  const [first, second, third] = [1, 2, 3].map((hour) =>
    backupRecord({
      server,
      database: hour === 2 ? "other" : "app",
      started_at: `2026-01-01T0${hour}:00:00.000Z`,
    }),
  ) as [BackupRecord, BackupRecord, BackupRecord];
  beforeAll(async () => {
    for (const record of [second, third, first]) await use().insertBackup(record);
    await use().updateBackup(first.id, { status: "FAILED" });
    await use().updateBackup(second.id, { status: "PARTIAL" });
  });
  const ids = (records: BackupRecord[]) => records.map((record) => record.id);

  test("are newest first, up to the limit", async () => {
    expect(ids(await use().backups({ server }))).toEqual([third.id, second.id, first.id]);
    expect(ids(await use().backups({ server, limit: 2 }))).toEqual([third.id, second.id]);
    expect(await use().backups({ server, limit: 0 })).toEqual([]);
    expect(ids(await use().backups({ server, after: third, limit: 1 }))).toEqual([second.id]);
    expect(await use().backups({ server, after: first })).toEqual([]);
  });

  test("skip the newest ones by offset", async () => {
    expect(ids(await use().backups({ server, offset: 1 }))).toEqual([second.id, first.id]);
    expect(ids(await use().backups({ server, offset: 1, limit: 1 }))).toEqual([second.id]);
    expect(ids(await use().backups({ server, database: "app", offset: 1, limit: 5 }))).toEqual([first.id]);
    expect(await use().backups({ server, offset: 3 })).toEqual([]);
  });

  test("can be filtered by database, by status and by run", async () => {
    expect(ids(await use().backups({ server, database: "app" }))).toEqual([third.id, first.id]);
    expect(ids(await use().backups({ server, run_id: second.run_id }))).toEqual([second.id]);
    expect(ids(await use().backups({ server, status: ["PARTIAL", "FAILED"] }))).toEqual([
      second.id,
      first.id,
    ]);
    expect(await use().backups({ server, status: [] })).toEqual([]);
    expect(ids(await use().backups({ database: "other" }))).toContain(second.id);
  });

  test("find every id that starts with a prefix, in any case", async () => {
    const stem = "0badc0de-";
    const near = [`${stem}0000-4000-8000-000000000000`, `${stem}ffff-4000-8000-ffffffffffff`] as const;
    const beside = ["0badc0dd-ffff-4000-8000-ffffffffffff", "0badc0df-0000-4000-8000-000000000000"] as const;
    for (const [hour, id] of [...near, ...beside].entries())
      await use().insertBackup(backupRecord({ id, started_at: `2026-01-01T0${hour}:00:00.000Z` }));
    expect(ids(await use().backupsByPrefix("0BADC0DE", 10))).toEqual([near[1], near[0]]);
    expect(ids(await use().backupsByPrefix(stem, 1))).toEqual([near[1]]);
    expect(ids(await use().backupsByPrefix(`${stem}f`, 10))).toEqual([near[1]]);
    expect(ids(await use().backupsByPrefix(near[0], 10))).toEqual([near[0]]);
    expect(ids(await use().backupsByPrefix("0bad", 10))).toHaveLength(4);
  });

  test("find nothing for text that is not a prefix of an id", async () => {
    for (const prefix of ["%", "_", "0badc0de%", "g", "' OR 1=1 --"])
      expect(await use().backupsByPrefix(prefix, 10)).toEqual([]);
  });
}

function copies(use: Use): void {
  test("are in order of storage, and a second put replaces the first", async () => {
    const backup = backupRecord();
    await use().insertBackup(backup);
    const r2 = copyRecord(backup, { storage: "r2", upload_id: "u1" });
    const local = copyRecord(backup, { storage: "local", state: "FAILED", error: "disk full" });
    await use().putCopies([r2, local]);
    expect(await use().copies(backup.id)).toEqual([local, r2]);
    const again = { ...r2, state: "CONFIRMED" as const, object_bytes: 7 };
    await use().putCopy(again);
    expect(await use().copies(backup.id)).toEqual([local, again]);
  });

  test("several are put at once: all or none", async () => {
    const backup = backupRecord();
    await use().insertBackup(backup);
    const a = copyRecord(backup, { storage: "a" });
    const [b, c] = [
      { ...a, storage: "b" },
      { ...a, storage: "c" },
    ];
    const again = { ...a, object_bytes: 7 };
    for (const records of [[], [b, a], [again, c]]) await use().putCopies(records);
    expect(await use().copies(backup.id)).toEqual([again, b, c]);
    await rejectsAsStorage(use().putCopies([{ ...a, storage: "d" }, copyRecord(backupRecord())]));
    expect(await use().copies(backup.id)).toEqual([again, b, c]);
  });

  test("an update changes the given fields of one copy", async () => {
    const backup = backupRecord();
    await use().insertBackup(backup);
    const [a, b] = [copyRecord(backup, { storage: "a" }), copyRecord(backup, { storage: "b" })];
    await use().putCopies([a, b]);
    await use().updateCopy(backup.id, "a", { state: "CONFIRMED", object_bytes: 9 });
    expect(await use().copies(backup.id)).toEqual([{ ...a, state: "CONFIRMED", object_bytes: 9 }, b]);
  });

  test("need a backup, and an update needs a copy", async () => {
    await rejectsAsStorage(use().putCopy(copyRecord(backupRecord())));
    const backup = backupRecord();
    await use().insertBackup(backup);
    await rejectsAsStorage(use().updateCopy(backup.id, "nowhere", { state: "MISSING" }));
    expect(await use().copies(backup.id)).toEqual([]);
  });

  test("are found by state", async () => {
    const backup = backupRecord();
    await use().insertBackup(backup);
    const damaged = copyRecord(backup, { storage: "x", state: "DAMAGED" });
    const deleting = copyRecord(backup, { storage: "y", state: "DELETING" });
    await use().putCopies([damaged, deleting]);
    expect(await use().copiesInState("DAMAGED")).toEqual([damaged]);
    expect(await use().copiesInState("DELETING")).toEqual([deleting]);
    expect(await use().copiesInState("DELETING", damaged)).toEqual([deleting]);
    expect(await use().copiesInState("DELETING", deleting)).toEqual([]);
    expect(await use().copiesOf([damaged.backup_id])).toEqual(await use().copies(damaged.backup_id));
    expect(await use().copiesOf([])).toEqual([]);
  });
}

function newestGood(use: Use): void {
  const server = `good-${crypto.randomUUID()}`;
  const store = async (
    hour: number,
    change: Partial<BackupRecord>,
    states: readonly CopyRecord["state"][],
  ) => {
    const backup = backupRecord({
      server,
      database: "app",
      started_at: `2026-02-01T0${hour}:00:00.000Z`,
      ...change,
    });
    await use().insertBackup(backup);
    for (const [index, state] of states.entries())
      await use().putCopy(copyRecord(backup, { storage: `s${index}`, state }));
    return backup.id;
  };
  const found = async (now = "2026-03-01T00:00:00Z") =>
    (await use().newestGood(server, "app", new Date(now)))?.id;

  test("is undefined while no backup is good", async () => {
    expect(await found()).toBeUndefined();
    await store(1, { status: "RUNNING" }, ["CONFIRMED"]);
    await store(1, { status: "FAILED" }, ["CONFIRMED"]);
    await store(1, { status: "INTERRUPTED" }, ["CONFIRMED"]);
    await store(1, { status: "VERIFIED" }, []);
    await store(1, { status: "VERIFIED" }, [
      "INTENDED",
      "FAILED",
      "DAMAGED",
      "MISSING",
      "DELETING",
      "HIDDEN",
      "DELETED",
    ]);
    await store(1, { status: "VERIFIED", database: "other" }, ["CONFIRMED"]);
    await store(1, { status: "VERIFIED", server: `${server}-2` }, ["CONFIRMED"]);
    expect(await found()).toBeUndefined();
  });

  test("is the newest VERIFIED or PARTIAL one with a confirmed copy, in any order of insertion", async () => {
    const newest = await store(5, { status: "PARTIAL" }, ["FAILED", "CONFIRMED"]);
    expect(await found()).toBe(newest);
    await store(4, { status: "VERIFIED" }, ["CONFIRMED"]);
    await store(6, { status: "VERIFIED" }, ["DAMAGED"]);
    expect(await found()).toBe(newest);
  });

  test("is not dated more than an hour ahead of the clock, unless there is no other", async () => {
    const before = await found();
    const ahead = await store(7, { status: "VERIFIED" }, ["CONFIRMED"]);
    expect(await found("2026-02-01T06:00:00Z")).toBe(ahead);
    expect(await found("2026-02-01T05:59:59Z")).toBe(before ?? "");
    expect(await found("2025-01-01T00:00:00Z")).toBe(ahead);
  });
}

function runs(use: Use, reopen: Reopen): void {
  test("come back as they were written, filtered, newest first", async () => {
    const older = runRecord({ job: "verify", started_at: "2026-03-01T00:00:00.000Z" });
    const newer = runRecord({ job: "verify", started_at: "2026-03-02T00:00:00.000Z" });
    await use().insertRun(newer);
    await use().insertRun(older);
    const change = {
      outcome: "PARTIAL",
      finished_at: "2026-03-01T01:00:00.000Z",
      statistics: { databases: 2, names: ["ü"], rate: 1.5, nothing: null },
    } as const;
    await use().updateRun(older.id, { ...change, statistics: { ...change.statistics } });
    const changed = { ...older, ...change };
    await reopen();
    expect(await use().runs({ job: "verify" })).toEqual([newer, changed] as RunRecord[]);
    expect(await use().runs({ job: "verify", limit: 1 })).toEqual([newer]);
    expect(await use().runs({ job: "verify", outcome: "PARTIAL" })).toEqual([changed] as RunRecord[]);
    expect(await use().runs({ job: "cleanup" })).toEqual([]);
    await rejectsAsStorage(use().updateRun(crypto.randomUUID(), { outcome: "OK" }));
  });
}

async function rejectsAsStorage(call: Promise<unknown>): Promise<void> {
  expect(
    await call.then(
      () => "resolved",
      (error) => error,
    ),
  ).toMatchObject({ name: "Pg321Error", code: "storage" });
}
