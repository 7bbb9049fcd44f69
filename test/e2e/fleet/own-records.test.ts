import { describe, expect, test } from "bun:test";
import { mkdtemp, rm, symlink, unlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DAY_MS } from "../../../src/base/limits.ts";
import { StorageChecks } from "../../../src/daemon/storage-checks.ts";
import type { CleanupReport } from "../../../src/jobs/cleanup/report.ts";
import { statusReport } from "../../../src/status/status.ts";
import { World } from "../../lab/data/made-up-world.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

/** What hosts of a shared catalog know about themselves, each with a clock of its own. */

const postgres = usePostgres();

/**
 * Two hosts with a server each, on a new catalog, and the same storages, none of which reports the time. `mountOfB`: where
 * the second one has them. Their clocks begin so many days ago.
 */
async function twoHosts(daysAgo = 20): Promise<{ a: World; b: World; mountOfB: string } & AsyncDisposable> {
  await using made = new AsyncDisposableStack();
  const catalog = postgres.url(await postgres.createDatabase());
  const directory = await mkdtemp(join(tmpdir(), "pg321-two-worlds-"));
  const mountOfB = `${directory}-of-b`;
  await symlink(directory, mountOfB);
  made.defer(() => rm(mountOfB, { force: true }));
  const startsAt = new Date(Date.now() - daysAgo * DAY_MS);
  const host = (name: string, server: string, at: string) => ({
    host: { name, server, catalog, directory: at },
    startsAt,
  });
  const a = made.use(await World.make(host("a", "main", directory)));
  const b = made.use(await World.make(host("b", "shop", mountOfB)));
  const all = made.move();
  return { a, b, mountOfB, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

/** One backup and one cleanup a day on both hosts. Returns the cleanups of the last day. */
async function live(hosts: readonly World[], days: number): Promise<CleanupReport[]> {
  let reports: CleanupReport[] = [];
  for (let day = 0; day < days; day++) {
    reports = [];
    for (const host of hosts) {
      await host.wait(1);
      await host.backup("app", ["disk", "vault"]);
      reports.push(...(await host.cleanup()));
    }
  }
  return reports;
}

const stops = ({ statistics }: CleanupReport) => statistics.suspended.join("; ");
const deleted = ({ statistics }: CleanupReport) => statistics.storages["disk"]?.deleted ?? 0;

describe("the clock of each host is judged alone", () => {
  test("a plan that a person confirms on one host ends the stop of no other one with the same wrong clock", async () => {
    await using hosts = await twoHosts();
    const { a, b } = hosts;
    await live([a, b], 1);
    for (const host of [a, b]) await host.wait(30);
    const [stopped, also] = (await live([a, b], 1)) as [CleanupReport, CleanupReport];
    expect(stops(stopped)).toContain("nothing is recorded");
    expect(stops(also)).toContain("nothing is recorded");
    expect(deleted(await a.confirm(stopped.statistics.plan_hash ?? ""))).toBeGreaterThan(0);
    const [later, stillStopped] = (await live([a, b], 1)) as [CleanupReport, CleanupReport];
    expect(stops(later)).toBe("");
    expect(stops(stillStopped)).toContain("nothing is recorded");
    expect(deleted(stillStopped)).toBe(0);
  }, 60_000);

  test("records of a host whose clock is ahead prove nothing about the clock of another one", async () => {
    await using hosts = await twoHosts(1);
    const { a, b } = hosts;
    await live([a, b], 1);
    // Less than a week ahead: that is no silence yet. For the other one, the records of this one would end it.
    for (const [host, days] of [[a, 5] as const, [b, 11] as const]) await host.wait(days);
    const [tolerated, stopped] = (await live([a, b], 1)) as [CleanupReport, CleanupReport];
    expect(stops(tolerated)).toBe("");
    expect(stops(stopped)).toContain("nothing is recorded");
  }, 60_000);

  test.each([
    ["has been trusted", 5],
    ["has been off", 0],
  ])(
    "a host without records of its own is judged by the server's time, not by another clock that is ahead and %s",
    async (_, daysOfA) => {
      await using hosts = await twoHosts(1);
      const { a, b } = hosts;
      if (daysOfA > 0) await live([a], 1);
      await a.wait(daysOfA === 0 ? 6 : daysOfA);
      if (daysOfA > 0) await live([a], 1);
      else await a.backup("app", ["disk", "vault"]);
      await b.wait(11);
      const [stopped] = (await live([b], 1)) as [CleanupReport];
      expect(stops(stopped)).toContain("nothing is recorded");
    },
    60_000,
  );

  test("a new host with the right clock is not stopped by a host whose clock is ahead", async () => {
    await using hosts = await twoHosts(1);
    const { a, b } = hosts;
    await a.wait(6);
    await live([a], 1);
    const [report] = (await live([b], 1)) as [CleanupReport];
    expect(stops(report)).toBe("");
  }, 60_000);

  test("a host whose clock is ahead stops no other's cleanup, and one that was off sees that time went on", async () => {
    await using hosts = await twoHosts();
    const { a, b } = hosts;
    await live([a, b], 1);
    await b.wait(5);
    await live([b], 1);
    const [report] = (await live([a], 1)) as [CleanupReport];
    expect(stops(report)).toBe("");
    await b.wait(5);
    await live([b], 1);
    await a.wait(9);
    const [later] = (await live([a], 1)) as [CleanupReport];
    expect(stops(later)).toBe("");
  }, 60_000);
});

test("a storage that one host does not reach is unreachable there, and only there", async () => {
  await using hosts = await twoHosts();
  const { a, b, mountOfB } = hosts;
  const states = async ({ context }: World) =>
    (await statusReport(context)).storages.map(({ is_reachable, errors }) => [is_reachable, errors]);
  await live([a, b], 1);
  for (const { context } of [a, b]) await new StorageChecks().look(context);
  const reachable = [true, 0];
  expect(await states(b)).toEqual([reachable, reachable, reachable]);
  await unlink(mountOfB);
  await new StorageChecks().look(b.context);
  expect(await states(a)).toEqual([reachable, reachable, reachable]);
  // A good check of the other host hides nothing.
  await new StorageChecks().look(a.context);
  const away = [false, 1];
  expect(await states(b)).toEqual([away, away, away]);
}, 60_000);
