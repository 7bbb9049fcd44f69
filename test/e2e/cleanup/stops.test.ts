import { describe, expect, test } from "bun:test";
import { alertIfShrunk } from "../../../src/alerts/shrink.ts";
import { World } from "../../lab/data/made-up-world.ts";

/** What cleanup keeps and where it stops, on a real catalog: each with its alert and how it ends. */

const open = async ({ context }: World) =>
  (await context.catalog.alerts({ open: true })).map(({ key, level }) => `${level} ${key}`).toSorted();
const deleted = (reports: Awaited<ReturnType<World["cleanup"]>>) =>
  reports.map(({ statistics }) =>
    Object.values(statistics.storages).reduce((sum, counts) => sum + counts.deleted, 0),
  );

describe("a plan that would delete suspiciously much", () => {
  test("stops with a CRITICAL alert, waits for exactly its own hash, and is then carried out", async () => {
    await using world = await World.make({});
    for (let n = 0; n < 6; n++) await world.backup("app", ["disk", "vault"]);
    await world.wait(4);
    await world.backup("app", ["disk", "vault"]);
    const [stopped] = await world.cleanup();
    expect(stopped?.run?.outcome).toBe("PARTIAL");
    expect(stopped?.statistics.suspended).toEqual([
      '6 of 7 copies of main/app in storage "disk" would expire at once',
    ]);
    expect(await open(world)).toContain("CRITICAL cleanup stopped");
    const wrong = await world.confirm("0123456789abcdef");
    expect(deleted([wrong])).toEqual([0]);
    expect(wrong.statistics.plan_hash).toBe(stopped?.statistics.plan_hash ?? "");
    const right = await world.confirm(stopped?.statistics.plan_hash ?? "");
    expect(deleted([right])).toEqual([6]);
    expect(await open(world)).toEqual([]);
  });
});

describe("a clock that no storage confirms", () => {
  test("after more than a week without any record, nothing expires until a person confirms the clock", async () => {
    await using world = await World.make({});
    await world.backup("app", ["disk", "vault"]);
    await world.backup("app", ["disk", "vault"]);
    await world.cleanup();
    await world.wait(8);
    const [first] = await world.cleanup();
    expect(first?.statistics).toMatchObject({ clock_suspected: true });
    expect(first?.statistics.suspended[0]).toStartWith("nothing is recorded for more than 7 d after");
    expect(await open(world)).toContain("CRITICAL cleanup stopped");
    // Neither the stopped run nor a new backup, dated by the same clock, proves that it is right.
    await world.wait(1 / 24);
    await world.backup("app", ["disk", "vault"]);
    const [again] = await world.cleanup();
    expect(deleted([...(first ? [first] : []), ...(again ? [again] : [])])).toEqual([0, 0]);
    expect(deleted([await world.confirm(again?.statistics.plan_hash ?? "")])).toEqual([2]);
    expect(await open(world)).toEqual([]);
  });

  test("earlier than the newest backup, nothing expires", async () => {
    await using world = await World.make({});
    await world.backup("app", ["disk", "vault"]);
    await world.wait(4);
    await world.backup("app", ["disk", "vault"]);
    const ahead = new Date(world.context.clock.now().getTime() + 86_400_000).toISOString();
    const id = await world.backup("shop", ["disk"], { started_at: ahead, finished_at: ahead });
    const reports = await world.cleanup();
    expect(deleted(reports)).toEqual([0]);
    expect(reports[0]?.statistics.suspended[0]).toContain("in the future");
    expect(await open(world)).toEqual(
      expect.arrayContaining([`WARNING cleanup future ${id}`, "CRITICAL cleanup stopped"]),
    );
  });
});

test("history is pruned after cleanup.history, but never open or newest records", async () => {
  await using world = await World.make({ cleanup: 'history = "30d"' });
  const { catalog } = world.context;
  // Open from the first day: it is raised again and again.
  await world.backup("dropped", ["disk"]);
  for (let day = 0; day < 150; day++) {
    await world.wait(1);
    await world.backup("app", ["disk", "vault"]);
    await world.cleanup();
  }
  const since = new Date(world.context.clock.now().getTime() - 31 * 86_400_000).toISOString();
  const runs = await catalog.runs({ job: "cleanup" });
  const [newest] = runs;
  // Those of the last days of May, and the earlier ones that clocks are judged by.
  expect(runs).toHaveLength(100);
  expect(newest?.statistics).toMatchObject({ runs_pruned: 1, alerts_pruned: 1, deliveries_pruned: 0 });
  expect((await world.cleanup())[0]?.statistics).toMatchObject({ runs_pruned: 1 });
  const alerts = await catalog.alerts({});
  const old = alerts.filter(({ created_at }) => created_at < since);
  expect(old.map(({ key, resolved_at }) => [key, resolved_at])).toEqual([
    ["cleanup guard main/dropped", null],
  ]);
  expect(alerts.length).toBeLessThan(40);
}, 60_000);

describe("expired copies that a guard keeps", () => {
  test("raise one alert for each database until there is a newer good backup", async () => {
    await using world = await World.make({});
    const old = await world.backup("app", ["disk"]);
    for (let day = 0; day < 5; day++) {
      await world.wait(1);
      await world.backup("shop", ["disk", "vault"]);
    }
    const [report] = await world.cleanup();
    expect(report?.decisions.find(({ backupId }) => backupId === old)).toMatchObject({
      action: "keep",
      guard: "newest-good",
    });
    expect(await open(world)).toContain("WARNING cleanup guard main/app");
    await world.backup("app", ["disk"]);
    await world.cleanup();
    expect(await open(world)).toEqual([]);
    expect((await world.known()).map(({ id }) => id)).not.toContain(old);
  });

  test("are the good ones from before the dumps shrank, until somebody acknowledges that", async () => {
    await using world = await World.make({});
    const big = await world.backup("app", ["disk"], { dump_bytes: 1_000_000 });
    const bigger = await world.backup("app", ["disk"], { dump_bytes: 1_100_000 });
    await world.wait(4);
    const small = await world.backup("app", ["disk"], { dump_bytes: 1000 });
    const record = await world.context.catalog.backup(small);
    if (record) await alertIfShrunk(world.context, record);
    const [report] = await world.cleanup();
    for (const id of [big, bigger])
      expect(report?.decisions.find(({ backupId }) => backupId === id)).toMatchObject({ guard: "shrunk" });
    const [alert] = await world.context.catalog.alerts({ key: "shrunk main/app" });
    await world.context.catalog.acknowledgeAlert(alert?.id ?? "", world.context.clock.now().toISOString());
    expect(deleted(await world.cleanup())).toEqual([2]);
  });

  test("are the newest three while no new backup comes", async () => {
    await using world = await World.make({});
    const ids: string[] = [];
    for (let n = 0; n < 4; n++) ids.push(await world.backup("app", ["disk"]));
    for (let day = 0; day < 5; day++) {
      await world.wait(1);
      await world.backup("shop", ["disk", "vault"]);
    }
    const [report] = await world.cleanup();
    const guards = ids.map((id) => report?.decisions.find(({ backupId }) => backupId === id)?.guard);
    expect(guards).toEqual([undefined, "stale", "stale", "newest-good"]);
    const left = (await world.known()).filter(({ database }) => database === "app");
    expect(left.map(({ id }) => id).toSorted()).toEqual(ids.slice(1).toSorted());
  });
});
