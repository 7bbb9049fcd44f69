import { describe, expect, test } from "bun:test";
import { NAMES, World } from "../../../test/lab/data/made-up-world.ts";
import type { Storage } from "../../storage/storage.ts";
import type { JobContext } from "../context.ts";
import { previewCleanup } from "./cleanup.ts";
import { deleteBackups } from "./delete-backup.ts";
import type { CleanupReport } from "./report.ts";

/** The same storages, but the vault reports the right time, as a bucket does, whatever this host's clock says. */
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
    return Object.assign(Object.create(storage), {
      settings: { ...storage.settings, type: "s3" },
      head,
      clockSkewMs,
    });
  });
  return {
    storages: bucket,
    jump: (byMs) => {
      aheadMs += byMs;
    },
  };
}

test("a clock jump since a bucket's last reply is noticed, because the bucket is asked again", async () => {
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

test("a backup dated ahead has an alert until its date has come", async () => {
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

const gone = ({ statistics }: CleanupReport) =>
  NAMES.reduce((sum, name) => sum + (statistics.storages[name]?.deleted ?? 0), 0);
const stops = ({ statistics }: CleanupReport) => statistics.suspended.join("; ");

/** One backup and one cleanup a day. Returns the cleanups. */
async function live(world: World, days: number): Promise<CleanupReport[]> {
  const reports: CleanupReport[] = [];
  for (let day = 0; day < days; day++) {
    await world.wait(1);
    await world.backup("app", ["disk", "vault"]);
    reports.push(...(await world.cleanup()));
  }
  return reports;
}

describe("a clock that is far ahead, and no storage to compare it with", () => {
  test("nothing expires although a backup was made under it, with or without an earlier cleanup", async () => {
    for (const hasCleanedUp of [false, true]) {
      await using world = await World.make({});
      const ids: string[] = [];
      for (let day = 0; day < 4; day++) {
        ids.push(await world.backup("app", ["disk", "vault"]));
        if (hasCleanedUp) await world.cleanup();
        await world.wait(1);
      }
      await world.wait(400);
      ids.push(await world.backup("app", ["disk", "vault"]));
      const [first] = (await world.cleanup()) as [CleanupReport];
      expect(stops(first)).toContain("nothing is recorded");
      // Neither more backups nor more cleanups make this time trusted.
      const later = await live(world, 5);
      expect([first, ...later].map(gone)).toEqual(Array(6).fill(0));
      for (const id of ids) expect((await world.known()).map((one) => one.id)).toContain(id);
    }
  }, 60_000);

  test("one confirmation ends the stop if so much time has really passed", async () => {
    await using world = await World.make({});
    await live(world, 4);
    await world.wait(30);
    await world.backup("app", ["disk", "vault"]);
    const [stopped] = (await world.cleanup()) as [CleanupReport];
    expect(stops(stopped)).toContain("cleanup --confirm");
    const confirmed = await world.confirm(stopped.statistics.plan_hash ?? "");
    expect(gone(confirmed)).toBe(3);
    expect((await live(world, 6)).map(stops)).toEqual(Array(6).fill(""));
  }, 60_000);

  test("no history is pruned that only such a clock considers old", async () => {
    await using world = await World.make({});
    await live(world, 4);
    const runs = (await world.context.catalog.runs({})).length;
    await world.wait(400);
    await live(world, 2);
    expect((await world.context.catalog.runs({})).length).toBe(runs + 2);
  }, 60_000);
});

describe("once a clock that was ahead is right again", () => {
  /** Four good days, then the clock is 400 days ahead for a backup and a cleanup. Returns that backup. */
  async function wasAhead(world: World): Promise<string> {
    await live(world, 4);
    await world.wait(400);
    const id = await world.backup("app", ["disk", "vault"]);
    await world.cleanup();
    await world.wait(-400);
    return id;
  }

  test("cleanup stops and names the two ways out; one confirmation ends the stop for good", async () => {
    await using world = await World.make({});
    const id = await wasAhead(world);
    const [first, second] = (await live(world, 2)) as [CleanupReport, CleanupReport];
    for (const report of [first, second]) {
      expect(stops(report)).toContain(`backup ${id.slice(0, 8)} of main/app is dated`);
      expect(stops(report)).toContain(`pg321 delete ${id.slice(0, 8)}`);
      expect(stops(report)).toContain("cleanup --confirm");
    }
    await world.confirm(second.statistics.plan_hash ?? "");
    const after = await live(world, 8);
    expect(after.map(stops)).toEqual(Array(8).fill(""));
    expect(after.map(gone).reduce((sum, one) => sum + one, 0)).toBeGreaterThan(5);
    // Its date is accepted now: no alert stays open until then.
    expect((await world.context.catalog.alerts({ open: true })).map(({ key }) => key)).toEqual([]);
    // It is still kept, because its real age is unknown.
    expect((await world.known()).map((one) => one.id)).toContain(id);
  }, 60_000);

  test("deleting that backup ends the stop too; it is not the newest good one", async () => {
    await using world = await World.make({});
    const id = await wasAhead(world);
    await live(world, 1);
    const { catalog, clock } = world.context;
    const backup = await catalog.backup(id);
    if (!backup) throw new Error("it is gone");
    expect((await catalog.newestGood("main", "app", clock.now()))?.id).not.toBe(id);
    await deleteBackups(world.context, { ...backup, ids: [backup.id] }, "delete");
    expect((await live(world, 8)).map(stops)).toEqual(Array(8).fill(""));
  }, 60_000);

  test("the next jump is still noticed after a confirmation", async () => {
    await using world = await World.make({});
    await wasAhead(world);
    const [stopped] = (await live(world, 1)) as [CleanupReport];
    await world.confirm(stopped.statistics.plan_hash ?? "");
    await live(world, 3);
    await world.wait(300);
    expect((await live(world, 3)).map(gone)).toEqual([0, 0, 0]);
  }, 60_000);

  test("a confirmation under the wrong clock needs another one", async () => {
    await using world = await World.make({});
    await world.backup("app", ["disk", "vault"]);
    await world.wait(400);
    await world.backup("app", ["disk", "vault"]);
    const [ahead] = (await world.cleanup()) as [CleanupReport];
    await world.confirm(ahead.statistics.plan_hash ?? "");
    await world.wait(-399);
    const [back] = (await live(world, 1)) as [CleanupReport];
    expect(stops(back)).toContain("in the future");
    await world.confirm(back.statistics.plan_hash ?? "");
    expect((await live(world, 3)).map(stops)).toEqual(["", "", ""]);
  }, 60_000);
});
