import { describe, expect, test } from "bun:test";
import type { Job } from "../../test/lab/schedule-lab.ts";
import { ScheduleLab } from "../../test/lab/schedule-lab.ts";
import { Pg321Error } from "../base/errors.ts";
import { MINUTE_MS } from "../base/limits.ts";
import type { Schedule } from "../jobs/schedules.ts";

const HOURLY = { backup: "0 * * * *" };
const BEFORE = "2026-11-23T00:59:30Z";

function only(jobs: readonly Job[]): Job {
  const [job, ...others] = jobs;
  if (!job || others.length > 0) throw new Error(`${jobs.length} jobs are running`);
  return job;
}

async function started(schedule: object, at = BEFORE): Promise<ScheduleLab> {
  const lab = await ScheduleLab.make(schedule, at);
  await lab.start();
  return lab;
}

describe("a run that is due while the previous one is in progress", () => {
  test("is skipped and recorded, with an alert from the third in a row on until a run starts", async () => {
    await using lab = await started(HOURLY);
    await lab.pass(MINUTE_MS);
    const job = only(lab.jobs);
    const alerts = async () =>
      (await lab.catalog.alerts({ open: true })).map(({ key, message }) => ({ key, message }));
    await lab.pass(120 * MINUTE_MS);
    expect(await alerts()).toEqual([]);
    await lab.pass(60 * MINUTE_MS);
    const key = "schedule backup";
    expect(await alerts()).toMatchObject([
      {
        key,
        message: expect.stringMatching(
          /^3 runs .* skipped: the previous run, due at 2026-11-23T01:00:00Z, is still in progress$/,
        ),
      },
    ]);
    job.end();
    await lab.pass(60 * MINUTE_MS);
    expect(await alerts()).toEqual([]);
    expect(await lab.outcomes()).toEqual([
      "2026-11-23T01:00 OK",
      ...["2026-11-23T02:00 SKIPPED", "2026-11-23T03:00 SKIPPED", "2026-11-23T04:00 SKIPPED"],
      "2026-11-23T05:00 RUNNING",
    ]);
    const skipped = (await lab.records()).find(({ outcome }) => outcome === "SKIPPED");
    expect(skipped).toMatchObject({ job: "backup", error: expect.stringContaining("still in progress") });
    expect(skipped?.finished_at).toBe(skipped?.started_at as string);
  });

  test("the count of skipped runs survives a restart", async () => {
    await using lab = await started(HOURLY);
    await lab.pass(121 * MINUTE_MS);
    lab.crash();
    await lab.start();
    // The interrupted run runs again, and takes as long.
    await lab.pass(120 * MINUTE_MS);
    expect(await lab.outcomes()).toEqual([
      ...["2026-11-23T01:00 INTERRUPTED", "2026-11-23T02:00 SKIPPED", "2026-11-23T03:00 SKIPPED"],
      ...["2026-11-23T01:00 RUNNING", "2026-11-23T04:00 SKIPPED", "2026-11-23T05:00 SKIPPED"],
    ]);
  });

  test("is also skipped while the previous one waits for its turn", async () => {
    await using lab = await started({ ...HOURLY, cleanup: "30 * * * *", max_parallel: 1 });
    await lab.pass(31 * MINUTE_MS);
    expect(lab.runs.running().map(({ schedule, state }) => `${schedule} ${state}`)).toEqual([
      "backup running",
      "cleanup queued",
    ]);
    await lab.pass(60 * MINUTE_MS);
    expect(await lab.outcomes("cleanup")).toEqual(["2026-11-23T02:30 SKIPPED"]);
  });
});

test("a run that cannot start because of a command's lease is skipped, not failed", async () => {
  await using lab = await started(HOURLY);
  lab.refusal = new Pg321Error("locked", "cleanup: held by run 1 (pid 1 on here)");
  await lab.pass(MINUTE_MS);
  expect(await lab.records()).toMatchObject([
    {
      scheduled_for: "2026-11-23T01:00:00.000Z",
      outcome: "SKIPPED",
      error: "cleanup: held by run 1 (pid 1 on here)",
    },
  ]);
  await lab.pass(60 * MINUTE_MS);
  only(lab.jobs).end();
});

test("a waiting run that a new config gives databases of a busy server waits for that server", async () => {
  await using lab = await started({ backup: "off", max_parallel: 1 });
  const schedule = (name: string, selects: () => boolean): Schedule => ({
    ...{ name, job: "backup", pattern: "0 1 * * *", selects },
  });
  await lab.catalog.overview.seeDatabases("main", ["app"], lab.clock.now().toISOString());
  const hot = schedule("backup hot", () => true);
  lab.runs.due(hot, lab.clock.now());
  lab.runs.due(
    schedule("backup", () => false),
    lab.clock.now(),
  );
  await lab.settle();
  const job = only(lab.jobs);
  lab.runs.follow([{ schedule: hot }, { schedule: schedule("backup", () => true) }], 2);
  await lab.settle();
  expect(lab.runs.running().map(({ state }) => state)).toEqual(["running", "queued"]);
  job.end();
  await lab.settle();
  expect(lab.runs.running().map(({ schedule, state }) => [schedule, state])).toEqual([["backup", "running"]]);
});

describe("a run that could not start because the catalog failed", () => {
  const full = () => new Pg321Error("storage", "catalog /c.db: insert into runs: the disk is full");

  test("is retried like a failed backup", async () => {
    await using lab = await started({ backup: "0 1 * * *", retries: 1, retry_delay_ms: 5 * MINUTE_MS });
    lab.refusal = full();
    await lab.pass(MINUTE_MS);
    expect(lab.runs.running()).toMatchObject([{ state: "retrying", run_id: null }]);
    await lab.pass(5 * MINUTE_MS);
    only(lab.jobs).end();
    await lab.settle();
    expect(await lab.outcomes()).toEqual(["2026-11-23T01:00 OK"]);
    expect(await lab.catalog.alerts({ open: true })).toEqual([]);
  });

  test("raises an alert after its last retry, until a run of the job succeeds", async () => {
    await using lab = await started({ ...HOURLY, retries: 1, retry_delay_ms: 5 * MINUTE_MS });
    lab.refusal = full();
    await lab.pass(MINUTE_MS);
    lab.refusal = full();
    await lab.pass(5 * MINUTE_MS);
    expect(lab.runs.running()).toEqual([]);
    const open = () => lab.catalog.alerts({ open: true });
    expect(await open()).toMatchObject([
      {
        level: "CRITICAL",
        key: "backup",
        run_id: null,
        message: "backup could not start: catalog /c.db: insert into runs: the disk is full",
      },
    ]);
    await lab.pass(60 * MINUTE_MS);
    only(lab.jobs).end();
    await lab.settle();
    expect(await open()).toEqual([]);
  });

  test("is not retried while the daemon stops", async () => {
    await using lab = await started({ ...HOURLY, retries: 1, retry_delay_ms: 5 * MINUTE_MS });
    lab.refusal = full();
    await lab.pass(MINUTE_MS);
    await lab.stop();
    expect(await lab.records()).toEqual([]);
    expect(await lab.catalog.alerts({})).toEqual([]);
    await lab.start();
    only(lab.jobs).end();
  });
});

describe("a retry", () => {
  test("waits as long as the config says, twice as long each time, up to an hour", async () => {
    await using lab = await started({
      ...HOURLY,
      backup: "0 1 * * *",
      retries: 20,
      retry_delay_ms: 5 * MINUTE_MS,
    });
    await lab.pass(MINUTE_MS);
    const job = only(lab.jobs);
    for (const minutes of [5, 10, 20, 40, 60, 60]) {
      const again = job.fail();
      await lab.settle();
      expect(lab.runs.running()).toMatchObject([{ state: "retrying" }]);
      await lab.pass(minutes * MINUTE_MS - 1);
      expect(lab.runs.running()).toMatchObject([{ state: "retrying" }]);
      await lab.pass(1);
      await again;
      expect(lab.runs.running()).toMatchObject([{ state: "running" }]);
    }
    expect(await lab.outcomes()).toEqual(["2026-11-23T01:00 RUNNING"]);
  });

  test("is made as often as the config says, within one run, which ends after the last retry", async () => {
    await using lab = await started({ ...HOURLY, retries: 2, retry_delay_ms: 5 * MINUTE_MS });
    await lab.pass(MINUTE_MS);
    const job = only(lab.jobs);
    for (const minutes of [5, 10]) {
      const again = job.fail();
      await lab.pass(minutes * MINUTE_MS);
      await again;
      expect(only(lab.jobs)).toBe(job);
    }
    void job.fail();
    await lab.settle();
    expect(lab.runs.running()).toEqual([]);
    expect(await lab.outcomes()).toEqual(["2026-11-23T01:00 OK"]);
  });

  test("lets other runs work during its pause", async () => {
    await using lab = await started({ ...HOURLY, cleanup: "5 * * * *" });
    await lab.pass(MINUTE_MS);
    const job = only(lab.jobs);
    await lab.pass(5 * MINUTE_MS);
    expect(lab.jobs).toHaveLength(1);
    const again = job.fail();
    await lab.settle();
    expect(lab.jobs.map(({ schedule }) => schedule)).toEqual(["backup", "cleanup"]);
    await lab.pass(5 * MINUTE_MS);
    expect(lab.runs.running().map(({ state }) => state)).toEqual(["queued", "running"]);
    lab.jobs[1]?.end();
    await lab.settle();
    await again;
    expect(lab.runs.running().map(({ state }) => state)).toEqual(["running"]);
  });
});

describe("a stop", () => {
  test("lets running runs end, drops waiting ones, and starts nothing", async () => {
    await using lab = await started({ ...HOURLY, cleanup: "0 * * * *" });
    await lab.pass(MINUTE_MS);
    const job = only(lab.jobs);
    const { runs } = lab;
    const stopped = runs.stop(new Pg321Error("terminated", "ended by SIGTERM"), 60 * MINUTE_MS);
    await lab.settle();
    expect(runs.running()).toHaveLength(1);
    runs.due({ name: "verify", job: "verify", pattern: "", selects: () => true }, lab.clock.now());
    job.end();
    await lab.settle();
    await stopped;
    expect(await lab.outcomes()).toEqual(["2026-11-23T01:00 OK"]);
  });

  test("aborts what is still running after the grace period; it runs again at the next start", async () => {
    await using lab = await started({ ...HOURLY, cleanup: "0 * * * *" });
    await lab.pass(MINUTE_MS);
    await lab.stop(60_000);
    expect(await lab.outcomes()).toEqual(["2026-11-23T01:00 INTERRUPTED"]);
    expect(await lab.catalog.alerts({})).toEqual([]);
    await lab.start();
    expect(only(lab.jobs)).toMatchObject({ schedule: "cleanup", dueAt: new Date("2026-11-23T01:00:00Z") });
    only(lab.jobs).end();
    await lab.settle();
    only(lab.jobs).end();
    await lab.settle();
    expect((await lab.outcomes()).sort()).toEqual([
      ...["2026-11-23T01:00 INTERRUPTED", "2026-11-23T01:00 OK", "2026-11-23T01:00 OK"],
    ]);
  });

  test("does not wait for a run that waits for its next retry", async () => {
    await using lab = await started(HOURLY);
    await lab.pass(MINUTE_MS);
    const job = only(lab.jobs);
    void job.fail();
    await lab.settle();
    const before = lab.clock.monotonicMs();
    await lab.stop(60 * MINUTE_MS);
    expect(lab.clock.monotonicMs() - before).toBeLessThan(60_000);
    expect(await lab.outcomes()).toEqual(["2026-11-23T01:00 INTERRUPTED"]);
  });
});
