import { expect, test } from "bun:test";
import { World } from "../../test/lab/made-up-world.ts";
import type { Storage } from "../storage/storage.ts";
import { previewCleanup } from "./cleanup.ts";
import type { JobContext } from "./context.ts";

/** The same storages, of which the vault tells the time as a bucket does: rightly, whatever this host's clock says. */
function withBucket({ storages, clock }: JobContext): { storages: Storage[]; jump: (byMs: number) => void } {
  let aheadMs = 0;
  let last: { skewMs: number; atMs: number } | undefined;
  const bucket = storages.map((storage) => {
    if (storage.name !== "vault") return storage;
    const head: Storage["head"] = (...given) => {
      last = { skewMs: aheadMs, atMs: clock.monotonicMs() };
      return storage.head(...given);
    };
    const clockSkewMs = (sinceMs = 0) => (last && last.atMs >= sinceMs ? last.skewMs : undefined);
    return Object.assign(Object.create(storage), { type: "s3", head, clockSkewMs });
  });
  return {
    storages: bucket,
    jump: (byMs) => {
      aheadMs += byMs;
    },
  };
}

test("a clock that jumped since the last reply of a bucket is noticed: that is asked anew", async () => {
  await using world = await World.make({});
  const { storages, jump } = withBucket(world.context);
  const context = { ...world.context, storages };
  await world.backup("app", ["disk", "vault"]);
  await world.backup("app", ["disk", "vault"]);
  for (const storage of storages) await storage.head("backed-up", context.signal);
  await world.wait(400);
  jump(400 * 86_400_000);
  await using preview = await previewCleanup(context, {});
  expect(preview.statistics).toMatchObject({ clock_suspected: true });
  expect(preview.statistics.suspended).toEqual([expect.stringMatching(/400 d ahead of .*"vault"/)]);
});

test("a backup that is dated ahead is told of until its time has come, and then that this is over", async () => {
  await using world = await World.make({});
  await world.backup("app", ["disk"]);
  const started_at = new Date(world.context.clock.now().getTime() + 86_400_000).toISOString();
  await world.backup("app", ["disk"], { started_at });
  const open = async () =>
    (await world.context.catalog.alerts({ open: true })).filter(({ key }) =>
      key.startsWith("cleanup future"),
    );
  await world.cleanup();
  expect(await open()).toHaveLength(1);
  await world.wait(1);
  await world.cleanup();
  expect(await open()).toEqual([]);
});
