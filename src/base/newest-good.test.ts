import { expect, test } from "bun:test";
import { World } from "../../test/lab/data/made-up-world.ts";
import { alertIfShrunk } from "../alerts/shrink.ts";
import { recordStart } from "../jobs/backup/record.ts";
import { planCleanup } from "../jobs/cleanup/plan.ts";
import { latestBackup } from "../jobs/copies/find-backup.ts";
import { listBackups } from "../status/list-backups.ts";
import { statusReport } from "../status/status.ts";

/** The newest good backup of main/app as each part of the program sees it. */
async function answers({ context }: World) {
  const { catalog, clock } = context;
  await using snapshot = await catalog.retained();
  const plan = await planCleanup(context, async () => snapshot, {});
  const started = await recordStart(context, crypto.randomUUID(), "main", "app");
  await catalog.updateBackup(started.id, { status: "FAILED" });
  const report = await statusReport(context);
  const [scheduledVerify] = await catalog.overview.latestBackups(clock.now());
  const status = ["VERIFIED"] as const;
  return {
    restore: (await latestBackup(context, "app")).id,
    previous: started.previous_id,
    delete: (await catalog.newestGood("main", "app", clock.now()))?.id,
    retention: plan.outline.newestGood[0]?.backupId,
    status: report.databases[0]?.newest_good?.id,
    verify: scheduledVerify?.good?.id,
    list: (await listBackups(context, { database: "app", status, limit: 1 }))[0]?.backup.id,
  };
}

const all = (id: string) => ({
  ...{ restore: id, previous: id, delete: id, retention: id, status: id, verify: id, list: id },
});

test("a backup dated ahead is never the newest good one, unless there is no other", async () => {
  await using world = await World.make({});
  const ahead = (days: number) => {
    const started_at = new Date(world.context.clock.now().getTime() + days * 86_400_000).toISOString();
    return world.backup("app", ["disk"], { started_at, finished_at: started_at });
  };
  await ahead(300);
  const later = await ahead(400);
  expect(await answers(world)).toEqual(all(later));
  const { age_ms } = (await statusReport(world.context)).databases[0]?.newest_good ?? {};
  expect(age_ms).toBe(0);
  const right = await world.backup("app", ["disk", "vault"]);
  expect(await answers(world)).toEqual(all(right));
  const listed = await listBackups(world.context, { status: ["VERIFIED"] });
  expect(listed.map(({ backup }) => backup.id)[0]).toBe(right);
  expect(listed).toHaveLength(3);
  const newer = await world.backup("app", ["vault"]);
  expect(await answers(world)).toEqual(all(newer));
  // Nor is its copy the newest of its storage.
  const report = await statusReport(world.context);
  const disk = report.databases[0]?.copies.find(({ storage }) => storage === "disk");
  expect(disk?.newest_started_at).toBe((await world.context.catalog.backup(right))?.started_at ?? "");
}, 60_000);

test("a clock set back during a backup makes no duration negative", async () => {
  await using world = await World.make({});
  await world.wait(1);
  const finished_at = new Date(world.context.clock.now().getTime() - 3_600_000).toISOString();
  await world.backup("app", ["disk"], { finished_at });
  expect((await statusReport(world.context)).databases[0]?.newest_good?.duration_ms).toBe(0);
});

test("a smaller size accepted while the clock was ahead does not stop the check of later dumps", async () => {
  await using world = await World.make({});
  const { catalog, clock } = world.context;
  const dump = async (dump_bytes: number) => {
    const id = await world.backup("app", ["disk"], { dump_bytes });
    const record = await catalog.backup(id);
    if (record) await alertIfShrunk(world.context, record);
    return (await catalog.alerts({ key: "shrunk main/app", open: true })).length;
  };
  for (let n = 0; n < 3; n++) await dump(1_000_000);
  await world.wait(400);
  expect(await dump(1_000)).toBe(1);
  const [alert] = await catalog.alerts({ key: "shrunk main/app" });
  await catalog.acknowledgeAlert(alert?.id ?? "", clock.now().toISOString());
  await world.wait(-399);
  expect(await dump(1_000_000)).toBe(0);
  expect(await dump(1_000)).toBe(1);
  const [second] = await catalog.alerts({ key: "shrunk main/app", open: true });
  await catalog.acknowledgeAlert(second?.id ?? "", clock.now().toISOString());
  expect(await dump(1_000)).toBe(0);
}, 60_000);
