import { expect, test } from "bun:test";
import { World } from "../../test/lab/data/made-up-world.ts";
import { Pg321Error } from "../base/errors.ts";
import { closeRuns } from "./close-runs.ts";
import { recordRun } from "./record-run.ts";

/** The open alerts after a cleanup was cut off for this reason. */
async function alertsAfter(reason: Error) {
  await using world = await World.make({});
  const ending = new AbortController();
  const context = { ...world.context, signal: ending.signal };
  const cutOff = recordRun(context, "cleanup", async () => {
    ending.abort(reason);
    throw new Error("a request was aborted");
  });
  await expect(cutOff).rejects.toThrow("a request was aborted");
  return world.context.catalog.alerts({ open: true });
}

test("a run that lost its lease raises an alert", async () => {
  const lost = new Pg321Error("locked", "cleanup: the lease was lost while the job ran", { hint: "again" });
  expect(await alertsAfter(lost)).toMatchObject([
    {
      level: "WARNING",
      key: "cleanup",
      message: "cleanup failed: cleanup: the lease was lost while the job ran",
      metadata: { hint: "again" },
    },
  ]);
});

test("a run that somebody stopped raises none", async () => {
  expect(await alertsAfter(new Pg321Error("interrupted", "ended by SIGINT"))).toEqual([]);
  expect(await alertsAfter(new Pg321Error("terminated", "ended by SIGTERM"))).toEqual([]);
});

test("what a run notes while it works stays in its record if it fails or is cut off", async () => {
  await using world = await World.make({});
  const { catalog } = world.context;
  const recorded = async () =>
    (await catalog.runs({})).map(({ outcome, statistics }) => ({ outcome, statistics }));
  const run = recordRun(world.context, "restore", async (_run, note) => {
    await note({ target_oid: "5" });
    expect(await recorded()).toEqual([{ outcome: "RUNNING", statistics: { target_oid: "5" } }]);
    throw new Error("no");
  });
  await expect(run).rejects.toThrow("no");
  expect(await recorded()).toEqual([{ outcome: "FAILED", statistics: { target_oid: "5" } }]);
  await catalog.updateRun((await catalog.runs({}))[0]?.id ?? "", { outcome: "RUNNING" });
  await closeRuns(world.context);
  expect(await recorded()).toEqual([{ outcome: "INTERRUPTED", statistics: { target_oid: "5" } }]);
});

test("a run whose end could not be recorded is closed by the next one, but not while it works", async () => {
  await using world = await World.make({});
  const { catalog } = world.context;
  const recorded = async () => (await catalog.runs({})).map(({ outcome, error }) => `${outcome} ${error}`);
  const { updateRun } = catalog;
  const full = new Pg321Error("storage", "the disk is full");
  const run = recordRun(world.context, "cleanup", async () => {
    await closeRuns(world.context);
    expect(await recorded()).toEqual(["RUNNING null"]);
    catalog.updateRun = () => Promise.reject(full);
    return { outcome: "OK", statistics: {} };
  });
  await expect(run).rejects.toThrow("the disk is full");
  catalog.updateRun = updateRun;
  expect(await recorded()).toEqual(["RUNNING null"]);
  await closeRuns(world.context);
  expect(await recorded()).toEqual(["INTERRUPTED its end could not be recorded"]);
});
