import { expect, test } from "bun:test";
import { ScheduleLab } from "../../../test/lab/schedule-lab.ts";
import { runRecord } from "../../../test/suites/catalog/records.ts";
import { historyOf } from "./history.ts";

test("an interrupted run is found behind many newer runs of another schedule of its job", async () => {
  await using lab = await ScheduleLab.make({}, "2026-11-23T12:00:00Z");
  const began = Date.parse("2026-11-23T02:00:00Z");
  const due = (minutes: number) => new Date(began + minutes * 60_000).toISOString();
  const record = (schedule: string, minutes: number, outcome: "OK" | "INTERRUPTED") =>
    lab.catalog.insertRun(
      runRecord({
        ...{ job: "backup", outcome, schedule },
        ...{ scheduled_for: due(minutes), started_at: due(minutes), finished_at: due(minutes) },
      }),
    );
  await record("backup", 0, "INTERRUPTED");
  for (let minute = 1; minute <= 550; minute++) await record("backup busy", minute, "OK");
  const schedule = { name: "backup", job: "backup", pattern: "0 2 * * *", selects: () => true } as const;
  expect(await historyOf(lab.catalog, schedule, lab.clock.now())).toEqual({
    settledUntil: new Date(began),
    interrupted: new Date(began),
    tries: 1,
    skipped: 0,
  });
});
