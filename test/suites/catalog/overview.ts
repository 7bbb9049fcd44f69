import { describe, expect, test } from "bun:test";
import type { Catalog } from "../../../src/catalog/catalog.ts";
import type { BackupRecord, BackupStatus, RunOutcome } from "../../../src/catalog/records.ts";
import type { Job } from "../../../src/config/config.ts";
import { meanwhile } from "./latest/meanwhile.ts";
import { notices } from "./notices.ts";
import { backupRecord, copyRecord, runRecord } from "./records.ts";
import { at, type MakeFixture, onNew, sums } from "./sums.ts";
import { verification } from "./verification.ts";

/** After every record except those of a clock that was ahead. */
const NOW = new Date(at(25));

/**
 * Tests for every implementation of `Overview`. Each test has its own catalog, because the totals cover all
 * records.
 */
export function overviewConformance(name: string, makeFixture: MakeFixture): void {
  describe(`overview conformance: ${name}`, () => {
    describe("schedules", () => schedules(makeFixture));
    describe("databases", () => databases(makeFixture));
    describe("recent backups", () => recent(makeFixture));
    describe("storages", () => storages(makeFixture));
    describe("runs", () => runs(makeFixture));
    describe("totals", () => sums(makeFixture));
    describe("latest backups", () => meanwhile(makeFixture));
    describe("verification", () => verification(makeFixture));
    describe("notices", () => notices(makeFixture));
  });
}

function schedules(make: MakeFixture): void {
  test("are known from the time they have their pattern", () =>
    onNew(make, async (first, reopen) => {
      expect(await first.overview.seeSchedule("backup", "0 2 * * *", at(1))).toBe(at(1));
      expect(await first.overview.seeSchedule("backup", "0 2 * * *", at(2))).toBe(at(1));
      const { overview } = await reopen();
      expect(await overview.seeSchedule("backup", "0 2 * * *", at(3))).toBe(at(1));
      expect(await overview.seeSchedule("backup busy", "@hourly", at(3))).toBe(at(3));
      expect(await overview.seeSchedule("backup", "0 3 * * *", at(4))).toBe(at(4));
      expect(await overview.seeSchedule("backup", "0 2 * * *", at(5))).toBe(at(5));
      expect(await overview.seeSchedule("backup busy", "@hourly", at(6))).toBe(at(3));
    }));

  test("have a last run by the time it was due, not by when it began", () =>
    onNew(make, async (catalog) => {
      const run = (scheduled_for: string | null, started_at: string, schedule: string | null = "backup") =>
        runRecord({ schedule, scheduled_for, started_at, outcome: "OK" });
      const [late, caughtUp] = [run(at(3), at(3)), run(at(2), at(9))];
      const retried = run(at(3), at(4));
      for (const one of [late, caughtUp, retried, run(null, at(20), null), run(at(8), at(8), "cleanup")])
        await catalog.insertRun(one);
      expect(await catalog.overview.lastScheduled("backup")).toEqual(retried);
      expect(await catalog.overview.lastScheduled("verify")).toBeUndefined();
    }));

  test("count the runs skipped in a row, and show the last run that was not skipped", () =>
    onNew(make, async (catalog) => {
      const { overview } = catalog;
      let day = 0;
      const insert = async (outcome: RunOutcome, schedule = "backup") => {
        day++;
        const run = runRecord({ schedule, scheduled_for: at(day), started_at: at(day), outcome });
        await catalog.insertRun(run);
        return run;
      };
      expect(await overview.scheduleRuns("backup", NOW)).toEqual({ ended: null, skipped: 0 });
      const skippedFirst = await insert("SKIPPED");
      expect(await overview.scheduleRuns("backup", NOW)).toEqual({ ended: null, skipped: 1 });
      const ok = await insert("OK");
      expect(await overview.scheduleRuns("backup", NOW)).toEqual({ ended: ok, skipped: 0 });
      const running = await insert("RUNNING");
      expect(await overview.scheduleRuns("backup", NOW)).toEqual({ ended: ok, skipped: 0 });
      await insert("SKIPPED");
      await insert("SKIPPED");
      await insert("SKIPPED", "verify");
      expect(await overview.scheduleRuns("backup", NOW)).toEqual({ ended: ok, skipped: 2 });
      await catalog.updateRun(running.id, { outcome: "FAILED" });
      expect(await overview.scheduleRuns("backup", NOW)).toEqual({
        ended: { ...running, outcome: "FAILED" },
        skipped: 2,
      });
      expect(await overview.scheduleRuns("verify", NOW)).toEqual({ ended: null, skipped: 1 });
      expect(await overview.lastScheduled("backup")).toMatchObject({ outcome: "SKIPPED" });
      expect(skippedFirst.outcome).toBe("SKIPPED");
    }));
}

function databases(make: MakeFixture): void {
  test("and schedules first seen with a clock that was ahead are known from the time the clock is right again", () =>
    onNew(make, async ({ overview }) => {
      await overview.seeDatabases("main", ["app"], at(400));
      await overview.seeDatabases("main", ["app"], at(2));
      expect(await overview.databases()).toMatchObject([{ first_seen_at: at(2), last_seen_at: at(2) }]);
      await overview.seeSchedule("backup", "@daily", at(400));
      expect(await overview.seeSchedule("backup", "@daily", at(2))).toBe(at(2));
      expect(await overview.seeSchedule("backup", "@daily", at(3))).toBe(at(2));
    }));

  test("are gone once their server no longer has them, and keep the day they were first seen if they come back", () =>
    onNew(make, async (first, reopen) => {
      const see = (catalog: Catalog, names: string[], day: number, server = "main") =>
        catalog.overview.seeDatabases(server, names, at(day));
      await see(first, ["shop", "app"], 1);
      await see(first, ["app"], 1, "other");
      await see(first, ["app"], 2);
      const { overview } = await reopen();
      const record = (server: string, database: string, last: number, gone_at: string | null) => ({
        server,
        database,
        first_seen_at: at(1),
        last_seen_at: at(last),
        gone_at,
      });
      expect(await overview.databases()).toEqual([
        record("main", "app", 2, null),
        record("main", "shop", 1, at(2)),
        record("other", "app", 1, null),
      ]);
      await overview.seeDatabases("main", ["app"], at(3));
      expect((await overview.databases())[1]).toEqual(record("main", "shop", 1, at(2)));
      await overview.seeDatabases("main", ["shop"], at(4));
      expect(await overview.databases()).toEqual([
        record("main", "app", 3, at(4)),
        record("main", "shop", 4, null),
        record("other", "app", 1, null),
      ]);
      await overview.seeDatabases("main", [], at(5));
      expect((await overview.databases()).map(({ gone_at }) => gone_at)).toEqual([at(4), at(5), null]);
    }));

  test("may have any name", () =>
    onNew(make, async ({ overview }) => {
      const names = ['a"b', "a'b", "a,b", "a\nb", "[]", "ü\u202e", ""].sort();
      await overview.seeDatabases("main", names, at(1));
      expect((await overview.databases()).map(({ database }) => database).sort()).toEqual(names);
      expect((await overview.databases()).every(({ gone_at }) => gone_at === null)).toBe(true);
    }));
}

function recent(make: MakeFixture): void {
  test("are the ended backups of one database, newest first, up to the limit", () =>
    onNew(make, async (catalog) => {
      const backup = (hour: number, status: BackupStatus, database = "app") =>
        backupRecord({ database, status, started_at: at(hour), finished_at: at(hour), dump_bytes: hour });
      const [good, failed, partial] = [backup(1, "VERIFIED"), backup(2, "FAILED"), backup(3, "PARTIAL")];
      for (const one of [partial, good, failed, backup(4, "RUNNING"), backup(5, "VERIFIED", "other")])
        await catalog.insertBackup(one);
      const point = ({ id, status, started_at, finished_at, dump_bytes, object_bytes }: BackupRecord) => {
        return { id, status, started_at, finished_at, dump_bytes, object_bytes };
      };
      const { overview } = catalog;
      expect(await overview.recentBackups("main", "app", 10)).toEqual([partial, failed, good].map(point));
      expect(await overview.recentBackups("main", "app", 2)).toEqual([partial, failed].map(point));
      expect(await overview.recentBackups("other", "app", 2)).toEqual([]);
    }));

  test("have the days on which a database had backups, with what became of them", () =>
    onNew(make, async (catalog) => {
      const [server, database] = ["main", "app"];
      const add = (started_at: string, status: BackupRecord["status"], dump_bytes: number | null) =>
        catalog.insertBackup(backupRecord({ server, database, started_at, status, dump_bytes }));
      await add("2026-01-01T23:59:59.999Z", "VERIFIED", 5);
      await add("2026-01-02T00:00:00.000Z", "VERIFIED", 10);
      await add("2026-01-02T12:00:00.000Z", "PARTIAL", 30);
      await add("2026-01-02T13:00:00.000Z", "INTERRUPTED", 99);
      await add("2026-01-04T12:00:00.000Z", "FAILED", null);
      await add("2026-01-05T12:00:00.000Z", "RUNNING", null);
      const since = "2026-01-02T00:00:00.000Z";
      expect(await catalog.overview.backupDays(server, database, since)).toEqual([
        { day: "2026-01-02", verified: 1, partial: 1, failed: 1, dump_bytes: 30 },
        { day: "2026-01-04", verified: 0, partial: 0, failed: 1, dump_bytes: null },
      ]);
      expect(await catalog.overview.backupDays("other", database, since)).toEqual([]);
    }));

  test("have the sizes of good dumps of one selection, newest first, among the newest 100 of any", () =>
    onNew(make, async (catalog) => {
      const [server, database, status] = ["main", "app", "VERIFIED"] as const;
      const dump = (minute: number, key?: string, change: Partial<BackupRecord> = {}) =>
        catalog.insertBackup(
          backupRecord({
            ...{
              database,
              status,
              dump_bytes: minute,
              facts: key === undefined ? null : { left_out: { key } },
            },
            started_at: new Date(Date.UTC(2026, 0, 1, 0, minute)).toISOString(),
            ...change,
          }),
        );
      const sizes = (selection: string, limit: number) =>
        catalog.overview.dumpSizes(
          { server, database, kind: "dump" },
          { since: at(1), before: at(2), limit, selection },
        );
      for (const minute of [1, 2, 3]) await dump(minute);
      for (let minute = 4; minute <= 100; minute++) await dump(minute, "part");
      await dump(101, "part", { status: "FAILED" });
      await dump(102, "part", { database: "other" });
      expect(await sizes("", 2)).toEqual([3, 2]);
      expect(await sizes("", 5)).toEqual([3, 2, 1]);
      expect(await sizes("part", 3)).toEqual([100, 99, 98]);
      await dump(103, "part");
      expect(await sizes("", 5)).toEqual([3, 2]);
    }));
}

function storages(make: MakeFixture): void {
  const good = (day: number) => ({ checked_at: at(day), check_error: null, free_bytes: 5, total_bytes: 9 });
  const bad = (day: number, check_error: string) => ({
    checked_at: at(day),
    check_error,
    free_bytes: null,
    total_bytes: null,
  });

  test("keep the last check, and count failed checks", () =>
    onNew(make, async ({ overview }) => {
      const none = { errors: 0, last_error: null, last_error_at: null };
      await overview.seeStorage("usb", good(1));
      await overview.seeStorage("disk", good(1));
      expect(await overview.storages()).toEqual([
        { name: "disk", ...good(1), ...none },
        { name: "usb", ...good(1), ...none },
      ]);
      await overview.seeStorage("usb", bad(2, "not mounted"));
      await overview.seeStorage("usb", bad(3, "read-only"));
      const failed = { errors: 2, last_error: "read-only", last_error_at: at(3) };
      expect((await overview.storages())[1]).toEqual({ name: "usb", ...bad(3, "read-only"), ...failed });
      await overview.seeStorage("usb", good(4));
      expect((await overview.storages())[1]).toEqual({ name: "usb", ...good(4), ...failed });
    }));

  test("count each failed copy in them once", () =>
    onNew(make, async (catalog) => {
      const backup = backupRecord();
      await catalog.insertBackup(backup);
      const errors = async () =>
        (await catalog.overview.storages()).map(({ name, errors, last_error }) => [name, errors, last_error]);
      await catalog.putCopy(copyRecord(backup, { storage: "disk" }));
      expect(await errors()).toEqual([]);
      await catalog.updateCopy(backup.id, "disk", { state: "FAILED", error: "full" });
      await catalog.updateCopy(backup.id, "disk", { upload_id: null });
      await catalog.updateCopy(backup.id, "disk", { error: "full" });
      expect(await errors()).toEqual([["disk", 1, "full"]]);
      await catalog.updateCopy(backup.id, "disk", { state: "INTENDED", error: null });
      await catalog.updateCopy(backup.id, "disk", { state: "FAILED", error: "full" });
      await catalog.putCopy(copyRecord(backup, { storage: "usb", state: "FAILED", error: "gone" }));
      expect(await errors()).toEqual([
        ["disk", 2, "full"],
        ["usb", 1, "gone"],
      ]);
      // A person's Ctrl-C is no error of a storage.
      await catalog.updateCopy(backup.id, "usb", { error: "interrupted by hand" });
      await catalog.putCopy(copyRecord(backup, { storage: "tape", error: "interrupted by hand" }));
      const ended = "not stored: the backup ended before it was complete";
      await catalog.updateCopy(backup.id, "tape", { error: ended });
      expect(await errors()).toHaveLength(2);
      expect((await errors())[1]).toEqual(["usb", 1, "gone"]);
      const [disk] = await catalog.overview.storages();
      expect(disk).toMatchObject({ checked_at: null, free_bytes: null });
      expect(disk?.last_error_at).toMatch(/^\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z$/);
      await catalog.overview.seeStorage("disk", good(2));
      expect((await catalog.overview.storages())[0]).toMatchObject({ errors: 2, last_error: "full" });
    }));
}

function runs(make: MakeFixture): void {
  test("of each job: the newest ended one and the newest OK one", () =>
    onNew(make, async (catalog) => {
      const insert = async (job: Job, outcome: RunOutcome, day: number) => {
        const run = runRecord({ job, outcome, started_at: at(day) });
        await catalog.insertRun(run);
        return run;
      };
      expect(await catalog.overview.latestRuns(NOW)).toEqual([]);
      await insert("repair", "SKIPPED", 1);
      await insert("cleanup", "RUNNING", 1);
      expect(await catalog.overview.latestRuns(NOW)).toEqual([]);
      await insert("backup", "OK", 1);
      const ok = await insert("backup", "OK", 3);
      const partial = await insert("backup", "PARTIAL", 4);
      await insert("backup", "FAILED", 2);
      await insert("backup", "SKIPPED", 5);
      await insert("backup", "RUNNING", 6);
      const failed = await insert("verify", "INTERRUPTED", 1);
      expect(await catalog.overview.latestRuns(NOW)).toEqual([
        { job: "backup", ended: partial, ok },
        { job: "verify", ended: failed, ok: null },
      ]);
    }));

  test("that are dated ahead of the clock count only if there is no other", () =>
    onNew(make, async (catalog) => {
      const { overview } = catalog;
      const insert = async (job: Job, outcome: RunOutcome, day: number) => {
        const due = { scheduled_for: at(day), schedule: job };
        const run = runRecord({ job, outcome, started_at: at(day), ...due });
        await catalog.insertRun(run);
        return run;
      };
      const ahead = await insert("backup", "OK", 400);
      await insert("backup", "SKIPPED", 401);
      expect(await overview.latestRuns(NOW)).toEqual([{ job: "backup", ended: ahead, ok: ahead }]);
      const failed = await insert("backup", "FAILED", 2);
      await insert("backup", "SKIPPED", 3);
      const only = await insert("verify", "FAILED", 300);
      expect(await overview.latestRuns(NOW)).toEqual([
        { job: "backup", ended: failed, ok: ahead },
        { job: "verify", ended: only, ok: null },
      ]);
      expect(await overview.scheduleRuns("backup", NOW)).toEqual({ ended: failed, skipped: 1 });
      const ok = await insert("backup", "OK", 1);
      expect((await overview.latestRuns(NOW))[0]).toEqual({ job: "backup", ended: failed, ok });
    }));

  test("are counted when they end, also if inserted as ended", () =>
    onNew(make, async (catalog, reopen) => {
      const run = runRecord({ job: "verify" });
      await catalog.insertRun(run);
      expect(await catalog.overview.runTotals()).toEqual([]);
      await catalog.updateRun(run.id, { statistics: { copies: 1 } });
      await catalog.updateRun(run.id, { outcome: "OK" });
      await catalog.updateRun(run.id, { error: "told later" });
      await catalog.insertRun(runRecord({ job: "verify", outcome: "OK" }));
      await catalog.insertRun(runRecord({ job: "backup", outcome: "SKIPPED" }));
      expect(await (await reopen()).overview.runTotals()).toEqual([
        { job: "backup", outcome: "SKIPPED", runs: 1 },
        { job: "verify", outcome: "OK", runs: 2 },
      ]);
    }));

  test("are counted for each host", () =>
    onNew(make, async (catalog) => {
      for (const host of ["web1", "web2", "web2"])
        await catalog.insertRun(runRecord({ host, job: "backup", outcome: "OK" }));
      const all = [{ job: "backup", outcome: "OK", runs: 3 }];
      expect(await catalog.overview.runTotals()).toEqual(all as never);
      expect(await catalog.overview.runTotals("web2")).toEqual([{ job: "backup", outcome: "OK", runs: 2 }]);
      expect(await catalog.overview.runTotals("web3")).toEqual([]);
    }));
}
