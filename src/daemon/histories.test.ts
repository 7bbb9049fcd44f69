import { expect, test } from "bun:test";
import fc from "fast-check";
import { ScheduleLab } from "../../test/lab/schedule-lab.ts";
import { MINUTE_MS } from "../base/limits.ts";
import type { RunRecord } from "../catalog/records.ts";

const RETRIES = 2;
const SCHEDULE = { backup: "*/10 * * * *", cleanup: "5-59/20 * * * *", max_parallel: 1, retries: RETRIES };

type Event =
  | { type: "pass"; minutes: number }
  | { type: "end" }
  | { type: "stop" }
  | { type: "crash" }
  | { type: "start" };

const events: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.integer({ min: 1, max: 25 }).map((minutes) => ({ type: "pass" as const, minutes })),
  },
  { weight: 3, arbitrary: fc.constant({ type: "end" as const }) },
  { weight: 1, arbitrary: fc.constant({ type: "stop" as const }) },
  { weight: 1, arbitrary: fc.constant({ type: "crash" as const }) },
  { weight: 3, arbitrary: fc.constant({ type: "start" as const }) },
);

/** A run that was tried as often as allowed, and then one that was skipped while another waited for its turn. */
const GIVEN_UP_THEN_WAITING: Event[] = [
  { type: "pass", minutes: 4 },
  { type: "crash" },
  { type: "pass", minutes: 1 },
  { type: "start" },
  { type: "crash" },
  { type: "start" },
  { type: "pass", minutes: 6 },
  { type: "crash" },
  { type: "start" },
  { type: "pass", minutes: 33 },
  { type: "stop" },
  { type: "pass", minutes: 1 },
];

async function play(lab: ScheduleLab, history: readonly Event[]): Promise<void> {
  let isUp = false;
  for (const event of history) {
    if (event.type === "pass") await lab.pass(event.minutes * MINUTE_MS);
    else if (event.type === "start" && !isUp) {
      await lab.start();
      isUp = true;
    } else if (isUp && event.type === "end") lab.jobs[0]?.end();
    else if (isUp && event.type === "stop") {
      await lab.stop();
      isUp = false;
    } else if (isUp && event.type === "crash") {
      lab.crash();
      isUp = false;
    }
    // No two records have the same time: their order would be undefined.
    await lab.pass(1);
  }
  if (!isUp) await lab.start();
}

/** Ends all running jobs, and those that start after them. */
async function endAll(lab: ScheduleLab): Promise<void> {
  for (let job = lab.jobs[0]; job !== undefined; job = lab.jobs[0]) {
    job.end();
    await lab.pass(1);
  }
}

test("property: whenever it is started, stopped or killed, no due time is run twice, and the newest is settled", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(events, { minLength: 5, maxLength: 30 }), async (history) => {
      await using lab = await ScheduleLab.make(SCHEDULE, "2026-11-23T00:01:00Z");
      await play(lab, [{ type: "start" }, ...history]);
      const until = lab.clock.now();
      await endAll(lab);
      for (const [name, everyMinutes, offsetMinutes] of [
        ["backup", 10, 0],
        ["cleanup", 20, 5],
      ] as const) {
        const records = await lab.records(name);
        const real = records.filter(({ outcome }) => outcome !== "SKIPPED");
        for (const [due, runs] of Map.groupBy(real, ({ scheduled_for }) => scheduled_for)) {
          const outcomes = `${name} ${due}: ${runs.map(({ outcome }) => outcome).join(" ")}`;
          // Only interrupted runs start again, and only a limited number of times.
          expect(outcomes).toMatch(/^\S+ \S+: (INTERRUPTED ?)*(OK)?$/);
          expect(runs.length).toBeLessThanOrEqual(RETRIES + 1);
        }
        expectNoneBesides(real);
        // A run is skipped only because of another run that does start, even if later.
        const lastSkip = records.findLast(({ outcome }) => outcome === "SKIPPED");
        const ends = real.map(({ finished_at }) => finished_at ?? "").sort();
        if (lastSkip) expect((ends.at(-1) ?? "") >= lastSkip.started_at).toBe(true);
        const offsetMs = offsetMinutes * MINUTE_MS;
        const newest =
          Math.floor((until.getTime() - offsetMs) / (everyMinutes * MINUTE_MS)) * everyMinutes * MINUTE_MS +
          offsetMs;
        const settled = records.map(({ scheduled_for }) => Date.parse(scheduled_for ?? ""));
        if (newest >= Date.parse("2026-11-23T00:01:00Z")) expect(settled).toContain(newest);
      }
    }),
    { numRuns: 40, examples: [[GIVEN_UP_THEN_WAITING]] },
  );
}, 120_000);

/** Checks that no run of a schedule started while another one was running. */
function expectNoneBesides(runs: readonly RunRecord[]): void {
  for (const [index, run] of runs.entries()) {
    const next = runs[index + 1];
    if (next) expect((run.finished_at ?? "") <= next.started_at).toBe(true);
  }
}
