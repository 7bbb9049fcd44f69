import { expect, test } from "bun:test";
import { World } from "../../test/lab/data/made-up-world.ts";
import { ELSEWHERE, runRecord } from "../../test/suites/catalog/records.ts";
import { processIdentity } from "../base/process/identity.ts";
import { holdLease } from "../catalog/lease.ts";
import type { RunRecord } from "../catalog/records.ts";
import { closeRuns } from "./close-runs.ts";
import { recordRun } from "./record-run.ts";

/** The identity in records of pg321 0.1.0. */
const OLD = { host_id: null, boot_id: null, pid_namespace: null };

async function outcomes({ context }: World, runs: readonly RunRecord[]) {
  const found = await context.catalog.runs({});
  return runs.map(({ id }) => found.find((run) => run.id === id)?.outcome);
}

test("a run of an unseen process stays open while its lease is renewed, and no longer", async () => {
  await using world = await World.make({});
  const { catalog, clock } = world.context;
  // As in another container with this host's name: its pid is unused here, or belongs to another process.
  const { host } = world.context;
  const [living, taken, left] = [
    runRecord({ host }),
    runRecord({ host, pid: process.pid, pid_start: processIdentity().pid_start }),
    runRecord({ host }),
  ] as const;
  for (const run of [living, taken, left]) await catalog.insertRun(run);
  const leaseOf = (run: RunRecord, minutes: number) => ({
    ...ELSEWHERE,
    name: `run ${run.id}`,
    run_id: run.id,
    acquired_at: run.started_at,
    expires_at: new Date(clock.now().getTime() + minutes * 60_000).toISOString(),
  });
  const at = clock.now().toISOString();
  const leases = [leaseOf(living, 1), leaseOf(taken, 1), leaseOf(left, -1)];
  for (const lease of leases) await catalog.acquireLease(lease, at, () => "unseen");
  await closeRuns(world.context);
  expect(await outcomes(world, [living, taken, left])).toEqual(["RUNNING", "RUNNING", "INTERRUPTED"]);
  // The lease of a dead process is released.
  expect((await catalog.leases()).map(({ run_id }) => run_id).toSorted()).toEqual(
    [living.id, taken.id].toSorted(),
  );
  await world.wait(1 / 12);
  await closeRuns(world.context);
  expect(await outcomes(world, [living, taken, left])).toEqual(["INTERRUPTED", "INTERRUPTED", "INTERRUPTED"]);
  expect(await catalog.leases()).toEqual([]);
});

test("a run holds its own lease from start to end, however it ends", async () => {
  await using world = await World.make({});
  const { catalog } = world.context;
  const held = async () => (await catalog.leases()).map(({ name, run_id }) => [name, run_id]);
  let id = "";
  const failed = recordRun(world.context, "verify", async (run) => {
    id = run.id;
    expect(await held()).toEqual([[`run ${id}`, id]]);
    throw new Error("broken");
  });
  await expect(failed).rejects.toThrow("broken");
  expect(id).not.toBe("");
  expect(await held()).toEqual([]);
});

test("a lease that this process failed to release is released by the next closeRuns", async () => {
  await using world = await World.make({});
  const { catalog, clock } = world.context;
  const tools = { clock, signal: new AbortController().signal };
  const request = (name: string) => ({ name, runId: crypto.randomUUID(), host: "here", pid: process.pid });
  const { releaseLease } = catalog;
  catalog.releaseLease = () => Promise.reject(new Error("the disk is full"));
  await (await holdLease(catalog, request("main/app"), tools))[Symbol.asyncDispose]();
  catalog.releaseLease = releaseLease;
  await using held = await holdLease(catalog, request("main/other"), tools);
  expect((await catalog.leases()).map(({ name }) => name)).toEqual(["main/app", "main/other"]);
  await closeRuns(world.context);
  expect((await catalog.leases()).map(({ name }) => name)).toEqual(["main/other"]);
  expect(held.signal.aborted).toBe(false);
});

test("a run that ends during closeRuns keeps its outcome", async () => {
  await using world = await World.make({});
  const { catalog } = world.context;
  const run = runRecord({});
  await catalog.insertRun(run);
  const { leases } = catalog;
  catalog.leases = async () => {
    await catalog.updateRun(run.id, { outcome: "OK" });
    return leases.call(catalog);
  };
  await closeRuns(world.context);
  expect(await outcomes(world, [run])).toEqual(["OK"]);
});

test("a run of 0.1.0 on another host is closed a day after it began, unless that host still holds a lease", async () => {
  await using world = await World.make({});
  const { catalog, clock } = world.context;
  const began = (hoursAgo: number) => new Date(clock.now().getTime() - hoursAgo * 3_600_000).toISOString();
  const [renamed, recent, living] = [
    runRecord({ ...OLD, host: "renamed", started_at: began(25) }),
    runRecord({ ...OLD, host: "renamed", started_at: began(23) }),
    runRecord({ ...OLD, host: "other", started_at: began(25) }),
  ] as const;
  for (const run of [renamed, recent, living]) await catalog.insertRun(run);
  const lease = { ...ELSEWHERE, ...OLD, name: "main/app", run_id: living.id, host: "other" };
  const times = { acquired_at: began(25), expires_at: began(-1) };
  expect(await catalog.acquireLease({ ...lease, ...times }, began(0), () => "unseen")).toBeUndefined();
  await closeRuns(world.context);
  expect(await outcomes(world, [renamed, recent, living])).toEqual(["INTERRUPTED", "RUNNING", "RUNNING"]);
  // The lease expires, and nobody renews it.
  await world.wait(1 / 12);
  await closeRuns(world.context);
  const all = await outcomes(world, [renamed, recent, living]);
  expect(all).toEqual(["INTERRUPTED", "INTERRUPTED", "INTERRUPTED"]);
});

test("a run of 0.1.0 on this host is closed at once, unless its process lives or it may hold a lease", async () => {
  await using world = await World.make({});
  const { catalog, clock, host } = world.context;
  const child = Bun.spawn(["sleep", "60"]);
  const [died, lives] = [
    runRecord({ ...OLD, host, pid: process.pid, pid_start: 1, started_at: clock.now().toISOString() }),
    runRecord({ ...processIdentity(child.pid), ...OLD, host }),
  ] as const;
  for (const run of [died, lives]) await catalog.insertRun(run);
  const expires_at = new Date(clock.now().getTime() + 60_000).toISOString();
  const lease = { ...ELSEWHERE, ...OLD, name: "main/app", run_id: died.id, host, pid_start: 1 };
  const at = clock.now().toISOString();
  await catalog.acquireLease({ ...lease, acquired_at: at, expires_at }, at, () => "unseen");
  const request = { name: "main/app", runId: crypto.randomUUID(), host, pid: process.pid };
  const tools = { clock, signal: new AbortController().signal };
  await expect(holdLease(catalog, request, tools)).rejects.toMatchObject({ code: "locked" });
  await closeRuns(world.context);
  expect(await outcomes(world, [died, lives])).toEqual(["RUNNING", "RUNNING"]);
  await world.wait(1 / 12);
  await closeRuns(world.context);
  expect(await outcomes(world, [died, lives])).toEqual(["INTERRUPTED", "RUNNING"]);
  const taking = holdLease(catalog, request, tools);
  await world.wait(1 / 60);
  await using _taken = await taking;
  child.kill("SIGKILL");
  await child.exited;
});
