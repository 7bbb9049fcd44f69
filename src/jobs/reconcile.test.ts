import { expect, test } from "bun:test";
import { World } from "../../test/lab/made-up-world.ts";
import { runRecord } from "../../test/suites/catalog-records.ts";
import { closeRuns } from "./reconcile.ts";

test("a run of another host is closed a day after it began, unless that host still holds a lease", async () => {
  await using world = await World.make({});
  const { catalog, clock } = world.context;
  const began = (hoursAgo: number) => new Date(clock.now().getTime() - hoursAgo * 3_600_000).toISOString();
  const [renamed, recent, living] = [
    runRecord({ host: "renamed", started_at: began(25) }),
    runRecord({ host: "renamed", started_at: began(23) }),
    runRecord({ host: "other", started_at: began(25) }),
  ] as const;
  for (const run of [renamed, recent, living]) await catalog.insertRun(run);
  const lease = { name: "main/app", run_id: living.id, host: "other", pid: 1, pid_start: null };
  const times = { acquired_at: began(25), expires_at: began(-1) };
  expect(await catalog.acquireLease({ ...lease, ...times }, began(0), () => true)).toBeUndefined();
  const outcomes = async () => {
    const runs = await catalog.runs({});
    return [renamed, recent, living].map(({ id }) => runs.find((run) => run.id === id)?.outcome);
  };
  await closeRuns(world.context);
  expect(await outcomes()).toEqual(["INTERRUPTED", "RUNNING", "RUNNING"]);
  // The lease runs out, and nobody renews it.
  await world.wait(1 / 12);
  await closeRuns(world.context);
  expect(await outcomes()).toEqual(["INTERRUPTED", "INTERRUPTED", "INTERRUPTED"]);
});
