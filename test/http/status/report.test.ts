import { describe, expect, test } from "bun:test";
import { setImmediate } from "node:timers/promises";
import { HOUR_MS } from "../../../src/base/limits.ts";
import { fateOf, processIdentity } from "../../../src/base/process/identity.ts";
import type { RunningStatus } from "../../../src/status/report.ts";
import { statusReport } from "../../../src/status/status.ts";
import { LOCAL, SERVER } from "../../fixtures/config-file.ts";
import { notImmutable } from "../../fixtures/immutability.ts";
import { app, BOTH, backUp, hoursAgo, see, twoStorages, USB } from "../../lab/backed-up.ts";
import { endpointLab } from "../../lab/endpoint.ts";
import { alertRecord, copyRecord, ELSEWHERE, runRecord } from "../../suites/catalog/records.ts";

test("a database has its newest good backup, its last attempt, its copies and its next backup", async () => {
  await using lab = await twoStorages();
  await see(lab, "app");
  lab.part.nextRuns.set("backup", new Date(hoursAgo(-2)));
  const good = await backUp(lab, 25, { disk: "CONFIRMED", old: "CONFIRMED" });
  const failed = await backUp(lab, 1, { disk: "FAILED" }, { status: "FAILED", error: "pg_dump: no" });
  await lab.context.catalog.putCopy(
    copyRecord(await backUp(lab, 40, {}), { storage: "disk", state: "CONFIRMED", object_bytes: 7 }),
  );
  expect(await app(lab)).toEqual({
    server: "main",
    database: "app",
    first_seen_at: hoursAgo(0),
    gone_at: null,
    state: "failing",
    newest_good: {
      id: good.id,
      status: "VERIFIED",
      started_at: hoursAgo(25),
      finished_at: hoursAgo(24.5),
      age_ms: 25 * HOUR_MS,
      duration_ms: HOUR_MS / 2,
      dump_bytes: 9,
      object_bytes: 5,
      left_out: null,
      storages: ["disk", "old"],
    },
    last_attempt: {
      id: failed.id,
      status: "FAILED",
      started_at: hoursAgo(1),
      finished_at: hoursAgo(0.5),
      error: "pg_dump: no",
    },
    server_failure: null,
    interval_ms: 24 * HOUR_MS,
    next_backup_at: hoursAgo(-2),
    copies: [
      {
        storage: "disk",
        copies: 2,
        bytes: 12,
        newest_started_at: hoursAgo(25),
        newest_age_ms: 25 * HOUR_MS,
        is_used: true,
      },
      {
        storage: "old",
        copies: 1,
        bytes: 5,
        newest_started_at: hoursAgo(25),
        newest_age_ms: 25 * HOUR_MS,
        is_used: false,
      },
      { storage: "usb", copies: 0, bytes: 0, newest_started_at: null, newest_age_ms: null, is_used: true },
    ],
    marks: expect.any(Array),
    restore_test: null,
  });
});

test("an adopted backup makes its database known before any server has listed it", async () => {
  await using lab = await twoStorages();
  await backUp(lab, 5, BOTH);
  expect(await app(lab)).toMatchObject({ state: "good", first_seen_at: hoursAgo(5), gone_at: null });
});

test("a storage that only receives archived copies does not make a backup partial", async () => {
  const archiving = LOCAL.replace('type = "local"', 'type = "local"\nexpire = { archive_to = "usb" }');
  await using lab = await endpointLab({ parts: `${SERVER}${archiving}${USB}keep.days = 90\n` });
  await see(lab, "app");
  await backUp(lab, 1, { disk: "CONFIRMED" });
  expect(await app(lab)).toMatchObject({ state: "good", copies: [{ storage: "disk", copies: 1 }] });
});

test("storages have the result of the last check, and the copies of this installation", async () => {
  await using lab = await twoStorages();
  await backUp(lab, 1, BOTH);
  await backUp(lab, 2, { usb: "CONFIRMED" }, { database: "shop" });
  const { overview } = lab.context.catalog;
  const free = { free_bytes: 100, total_bytes: 1000 };
  await overview.seeStorage("disk", { checked_at: hoursAgo(1), check_error: null, ...free });
  const none = { free_bytes: null, total_bytes: null };
  await overview.seeStorage("usb", { checked_at: hoursAgo(1), check_error: "not mounted", ...none });
  await overview.seeStorage("gone", { checked_at: hoursAgo(1), check_error: null, ...free });
  const [newest] = await lab.context.catalog.backups({ limit: 1 });
  await lab.context.catalog.updateCopy(newest?.id ?? "", "usb", { verified_at: hoursAgo(24 * 40) });
  const coverage = (copies: number, bytes: number) => [
    { days: 30, copies: 0, bytes: 0, copies_ratio: 0, bytes_ratio: 0 },
    { days: 90, copies, bytes, copies_ratio: copies / 2, bytes_ratio: bytes / 10 },
  ];
  const common = {
    type: "local",
    off_site: false,
    checked_at: hoursAgo(1),
    immutability: notImmutable,
    locked_remains_until: null,
  } as const;
  expect((await statusReport(lab.context, lab.live)).storages).toEqual([
    {
      ...common,
      name: "disk",
      location: { path: "/srv/backup", min_free: expect.any(String) },
      is_reachable: true,
      error: null,
      ...free,
      copies: 1,
      stored_bytes: 5,
      coverage: coverage(0, 0),
      errors: 0,
      last_error: null,
      last_error_at: null,
    },
    {
      ...common,
      name: "usb",
      location: { path: "/mnt/usb", min_free: expect.any(String) },
      is_reachable: false,
      error: "not mounted",
      ...none,
      copies: 2,
      stored_bytes: 10,
      coverage: coverage(1, 5),
      errors: 1,
      last_error: "not mounted",
      last_error_at: hoursAgo(1),
    },
  ]);
});

describe("runs", () => {
  test("of other processes are shown as long as these processes are alive", async () => {
    await using lab = await twoStorages();
    const { catalog, host, pid } = lab.context;
    const living = runRecord({
      job: "verify",
      host,
      ...processIdentity(pid),
      started_at: hoursAgo(3),
    });
    const died = runRecord({ host, ...processIdentity(pid), pid_start: 1 });
    const elsewhere = runRecord({ ...ELSEWHERE, started_at: hoursAgo(2) });
    const left = runRecord({ ...ELSEWHERE, pid: 2 });
    for (const run of [living, died, elsewhere, left]) await catalog.insertRun(run);
    const lease = { name: "main/app", run_id: elsewhere.id, ...ELSEWHERE };
    await catalog.acquireLease(
      { ...lease, acquired_at: hoursAgo(1), expires_at: hoursAgo(-1) },
      hoursAgo(0),
      fateOf,
    );
    const own: RunningStatus = {
      run_id: crypto.randomUUID(),
      job: "backup",
      schedule: "backup",
      host,
      pid,
      started_at: hoursAgo(1),
      state: "running",
      progress: [],
    };
    lab.part.running = [own];
    await catalog.insertRun(runRecord({ id: String(own.run_id), host, ...processIdentity(pid) }));
    const shown = (await statusReport(lab.context, lab.live)).running;
    expect(shown.map(({ run_id }) => run_id)).toEqual([living.id, elsewhere.id, own.run_id]);
    expect(shown[0]).toEqual({
      run_id: living.id,
      job: "verify",
      schedule: null,
      host,
      pid,
      started_at: hoursAgo(3),
      state: "running",
      progress: [],
    });
  });

  test("of jobs and schedules: the last finished one, the last success, the next one", async () => {
    const busy = '[[schedule.override]]\nname = "busy"\ndatabases = ["shop"]\nbackup = "@hourly"';
    await using lab = await twoStorages(`[schedule]\nverify = "off"\n${busy}`);
    const run = (outcome: "OK" | "FAILED" | "SKIPPED", hours: number, schedule: string | null) =>
      runRecord({
        outcome,
        schedule,
        scheduled_for: schedule && hoursAgo(hours),
        started_at: hoursAgo(hours),
        finished_at: hoursAgo(hours - 0.5),
        statistics: { databases: 1 },
      });
    const [ok, failed] = [run("OK", 9, "backup"), run("FAILED", 5, "backup busy")];
    for (const one of [ok, failed, run("SKIPPED", 2, "backup busy")])
      await lab.context.catalog.insertRun(one);
    lab.part.nextRuns.set("backup", new Date(hoursAgo(-3))).set("backup busy", new Date(hoursAgo(-1)));
    const report = await statusReport(lab.context, lab.live);
    const told = ({ id, outcome, started_at, finished_at, statistics, error, schedule }: typeof ok) => ({
      ...{ id, outcome, started_at, finished_at, statistics, error, schedule },
      duration_ms: HOUR_MS / 2,
    });
    expect(report.jobs[0]).toEqual({
      job: "backup",
      last_run: told(failed),
      last_success_at: hoursAgo(8.5),
      next_run_at: hoursAgo(-1),
    });
    expect(report.jobs.find(({ job }) => job === "verify")).toEqual({
      job: "verify",
      last_run: null,
      last_success_at: null,
      next_run_at: null,
    });
    expect(report.schedules.map(({ name }) => name)).toEqual(["backup busy", "backup", "cleanup", "repair"]);
    expect(report.schedules.slice(0, 2)).toEqual([
      {
        name: "backup busy",
        job: "backup",
        pattern: "@hourly",
        next_run_at: hoursAgo(-1),
        interval_ms: HOUR_MS,
        skipped: 1,
        last_run: told(failed),
      },
      {
        name: "backup",
        job: "backup",
        pattern: "0 2 * * *",
        next_run_at: hoursAgo(-3),
        interval_ms: 24 * HOUR_MS,
        skipped: 0,
        last_run: told(ok),
      },
    ]);
  });
});

test("without a daemon the next runs are calculated from the schedules, and the open alerts are shown", async () => {
  await using lab = await twoStorages('[schedule]\nbackup = "0 2 * * *"');
  const { catalog } = lab.context;
  const open = alertRecord({ key: "a" });
  await catalog.changeAlert("a", () => ({ alert: open, deliveries: [] }));
  await catalog.changeAlert("b", () => ({
    alert: alertRecord({ key: "b", resolved_at: hoursAgo(1) }),
    deliveries: [],
  }));
  const report = await statusReport(lab.context);
  expect(report.daemon).toBeNull();
  expect(report.jobs[0]?.next_run_at).toBe("2026-11-23T02:00:00.000Z");
  expect(report.alerts.map(({ id }) => id)).toEqual([open.id]);
  expect(Object.keys(report.alerts[0] ?? {})).not.toContain("metadata");
});

test("the event loop gets turns while a report of many databases is made", async () => {
  await using lab = await twoStorages();
  const names = Array.from({ length: 200 }, (_, index) => `app_${index}`);
  await see(lab, ...names);
  for (const database of names) await backUp(lab, 1, { disk: "CONFIRMED" }, { database });
  const made = statusReport(lab.context, lab.live);
  let [turns, isMade] = [0, false];
  const noted = made.then(() => {
    isMade = true;
  });
  while (!isMade) {
    turns++;
    await setImmediate();
  }
  await noted;
  expect((await made).databases).toHaveLength(200);
  // One turn for each 50 databases, when their backups are read and when their copies are read.
  expect(turns).toBeGreaterThanOrEqual(6);
});
