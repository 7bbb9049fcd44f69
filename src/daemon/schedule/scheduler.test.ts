import { describe, expect, test } from "bun:test";
import { ManualClock } from "../../../test/lab/manual-clock.ts";
import { ScheduleLab } from "../../../test/lab/schedule-lab.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../../base/limits.ts";
import { silentLog } from "../../base/log.ts";
import { DueTimes } from "./due-times.ts";
import { Scheduler } from "./scheduler.ts";

const NIGHTLY = { backup: "0 2 * * *" };

/** Advances the time; each job that starts ends at once. */
async function passing(lab: ScheduleLab, durationMs: number, stepMs = MINUTE_MS): Promise<void> {
  for (let passedMs = 0; passedMs < durationMs; passedMs += stepMs) {
    await lab.pass(stepMs);
    for (const job of lab.jobs) job.end();
    await lab.settle();
  }
}

test("runs start at their due times, and their records have the due time", async () => {
  await using lab = await ScheduleLab.make(
    { backup: "*/15 * * * *", cleanup: "5 1 * * *" },
    "2026-11-23T00:50:00Z",
  );
  await lab.start();
  expect(lab.scheduler.nextRuns()).toEqual(
    new Map([
      ["backup", new Date("2026-11-23T01:00:00Z")],
      ["cleanup", new Date("2026-11-23T01:05:00Z")],
    ]),
  );
  await passing(lab, 30 * MINUTE_MS);
  expect(await lab.outcomes()).toEqual(["2026-11-23T01:00 OK", "2026-11-23T01:05 OK", "2026-11-23T01:15 OK"]);
  const [first] = await lab.records("backup");
  expect(first).toMatchObject({
    scheduled_for: "2026-11-23T01:00:00.000Z",
    started_at: "2026-11-23T01:00:00.000Z",
  });
});

test("a schedule for every second is followed", async () => {
  await using lab = await ScheduleLab.make({ backup: "* * * * * *" }, "2026-11-23T00:00:00Z");
  await lab.start();
  await passing(lab, 5_000, 1_000);
  expect((await lab.records()).map((run) => run.scheduled_for?.slice(17, 19))).toEqual([
    "01",
    "02",
    "03",
    "04",
    "05",
  ]);
});

test("a run that started while new plans were made is not started again by the new plans", async () => {
  const clock = new ManualClock(new Date("2026-11-23T01:59:59Z"));
  const begun: string[] = [];
  const begin = (_: unknown, dueAt: Date) => void begun.push(dueAt.toISOString());
  const scheduler = new Scheduler({ clock, log: silentLog, begin });
  const schedule = { name: "backup", job: "backup", pattern: "0 2 * * *", selects: () => true } as const;
  const planned = () => {
    const times = new DueTimes(schedule.pattern, { timezone: "UTC", jitterMs: 0, seed: "" });
    return [{ schedule, times, settledUntil: scheduler.settledUntil("backup") ?? clock.now() }];
  };
  scheduler.follow(planned(), DAY_MS);
  const end = new AbortController();
  const running = scheduler.run(end.signal);
  const reloaded = planned();
  await clock.advance(1_000);
  scheduler.follow(reloaded, DAY_MS);
  await clock.advance(MINUTE_MS);
  expect(begun).toEqual(["2026-11-23T02:00:00.000Z"]);
  end.abort();
  await clock.advanceUntil(running);
});

describe("the nights in which the clock changes in Berlin", () => {
  for (const { night, from, expected } of [
    {
      night: "skipped",
      from: "2026-03-28T12:00:00Z",
      expected: ["2026-03-29T01:00 OK", "2026-03-30T00:30 OK"],
    },
    {
      night: "repeated",
      from: "2026-10-24T12:00:00Z",
      expected: ["2026-10-25T00:30 OK", "2026-10-26T01:30 OK"],
    },
  ])
    test(`an hour is ${night}: one run each night`, async () => {
      await using lab = await ScheduleLab.make({ backup: "30 2 * * *" }, from, "Europe/Berlin");
      await lab.start();
      await passing(lab, 2 * DAY_MS, 10 * MINUTE_MS);
      expect(await lab.outcomes()).toEqual(expected);
    });

  test("a daemon that starts between the first and the second 2:30 repeats nothing", async () => {
    await using lab = await ScheduleLab.make(
      { backup: "30 2 * * *" },
      "2026-10-24T23:00:00Z",
      "Europe/Berlin",
    );
    await lab.start();
    await passing(lab, 100 * MINUTE_MS);
    await lab.stop();
    await lab.pass(5 * MINUTE_MS);
    await lab.start();
    await passing(lab, 3 * HOUR_MS);
    expect(await lab.outcomes()).toEqual(["2026-10-25T00:30 OK"]);
  });
});

describe("runs missed while the daemon was down", () => {
  /** A daemon that ran one backup, then was down for some time, and starts again. */
  async function afterDown(downMs: number, schedule: object = {}): Promise<string[]> {
    await using lab = await ScheduleLab.make({ ...NIGHTLY, ...schedule }, "2026-11-23T01:00:00Z");
    await lab.start();
    await passing(lab, 2 * HOUR_MS);
    await lab.stop();
    await lab.pass(downMs);
    await lab.start();
    await passing(lab, 2 * MINUTE_MS);
    return (await lab.outcomes()).slice(1);
  }

  test("nothing was due: nothing runs", async () => {
    expect(await afterDown(22 * HOUR_MS)).toEqual([]);
  });
  test("one time was missed: it runs now, recorded with its due time", async () => {
    expect(await afterDown(24 * HOUR_MS)).toEqual(["2026-11-24T02:00 OK"]);
  });
  test("many times were missed: one run, for the newest", async () => {
    expect(await afterDown(10 * DAY_MS)).toEqual(["2026-12-03T02:00 OK"]);
  });
  test("the newest time is older than catch_up: it does not run", async () => {
    expect(await afterDown(29 * HOUR_MS, { catch_up_ms: 5 * HOUR_MS })).toEqual([]);
    expect(await afterDown(27 * HOUR_MS, { catch_up_ms: 5 * HOUR_MS })).toEqual(["2026-11-24T02:00 OK"]);
  });
  test("catch_up is off: nothing runs", async () => {
    expect(await afterDown(24 * HOUR_MS, { catch_up_ms: 0 })).toEqual([]);
  });

  test("a new schedule has missed nothing", async () => {
    await using lab = await ScheduleLab.make(NIGHTLY, "2026-11-23T12:00:00Z");
    await lab.start();
    await passing(lab, MINUTE_MS);
    expect(await lab.outcomes()).toEqual([]);
  });

  test("a schedule with a new pattern has missed nothing", async () => {
    await using lab = await ScheduleLab.make(NIGHTLY, "2026-11-23T01:00:00Z");
    await lab.start();
    await passing(lab, 2 * HOUR_MS);
    await lab.stop();
    await lab.pass(2 * HOUR_MS);
    lab.setSchedule({ backup: "0 4 * * *" });
    await lab.start();
    await passing(lab, HOUR_MS);
    expect(await lab.outcomes()).toEqual(["2026-11-23T02:00 OK"]);
  });

  test("jitter: a run that has not started yet starts at its planned time", async () => {
    await using lab = await ScheduleLab.make({ ...NIGHTLY, jitter_ms: HOUR_MS }, "2026-11-23T01:59:00Z");
    await lab.start();
    const begin = lab.scheduler.nextRuns().get("backup") as Date;
    await lab.pass(MINUTE_MS);
    await lab.stop();
    await lab.start();
    expect(lab.scheduler.nextRuns().get("backup")).toEqual(begin);
    await lab.pass(begin.getTime() - lab.clock.now().getTime() - 1);
    expect(lab.jobs).toEqual([]);
    await lab.pass(1);
    expect(lab.jobs).toHaveLength(1);
  });
});

describe("a clock that jumps", () => {
  async function running(): Promise<ScheduleLab> {
    const lab = await ScheduleLab.make(NIGHTLY, "2026-11-23T01:00:00Z");
    await lab.start();
    await passing(lab, 2 * HOUR_MS);
    return lab;
  }

  test("forward past a due time: one run, noticed within half a minute", async () => {
    await using lab = await running();
    lab.clock.offsetMs += 12 * DAY_MS;
    await lab.pass(30_000);
    expect(lab.jobs.map(({ dueAt }) => dueAt)).toEqual([new Date("2026-12-05T02:00:00Z")]);
    expect(lab.scheduler.nextRuns().get("backup")).toEqual(new Date("2026-12-06T02:00:00Z"));
  });

  test("forward, but the newest due time is older than catch_up: none", async () => {
    await using lab = await running();
    lab.setSchedule({ catch_up_ms: HOUR_MS });
    await lab.stop();
    await lab.start();
    lab.clock.offsetMs += DAY_MS + 2 * HOUR_MS;
    await lab.pass(MINUTE_MS);
    expect(lab.jobs).toEqual([]);
  });

  test("back by some minutes: nothing is repeated", async () => {
    await using lab = await running();
    lab.clock.offsetMs -= HOUR_MS + 5 * MINUTE_MS;
    await passing(lab, HOUR_MS);
    expect(await lab.outcomes()).toEqual(["2026-11-23T02:00 OK"]);
  });

  test("back by days: the schedule continues from there", async () => {
    await using lab = await running();
    lab.clock.offsetMs -= 3 * DAY_MS;
    await passing(lab, DAY_MS, 10 * MINUTE_MS);
    // In the order of the wrong clock.
    expect(await lab.outcomes()).toEqual(["2026-11-21T02:00 OK", "2026-11-23T02:00 OK"]);
  });

  test("back by days, and then a restart: a run that was missed since is caught up", async () => {
    await using lab = await running();
    lab.clock.offsetMs += 100 * DAY_MS;
    await passing(lab, HOUR_MS);
    lab.clock.offsetMs -= 100 * DAY_MS;
    await passing(lab, DAY_MS, 10 * MINUTE_MS);
    await lab.stop();
    await lab.pass(DAY_MS);
    await lab.start();
    await passing(lab, MINUTE_MS);
    expect((await lab.outcomes()).sort()).toEqual([
      ...["2026-11-23T02:00 OK", "2026-11-24T02:00 OK", "2026-11-25T02:00 OK", "2027-03-03T02:00 OK"],
    ]);
  });
});
