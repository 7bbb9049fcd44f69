import { expect, test } from "bun:test";
import { World } from "../../test/lab/made-up-world.ts";
import { Pg321Error } from "../base/errors.ts";
import { recordRun } from "./context.ts";

/** The alerts that are open once a cleanup was cut off for this reason. */
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

test("a run that lost its lease is told of", async () => {
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

test("one that somebody ended is not", async () => {
  expect(await alertsAfter(new Pg321Error("interrupted", "ended by SIGINT"))).toEqual([]);
  expect(await alertsAfter(new Pg321Error("terminated", "ended by SIGTERM"))).toEqual([]);
});
