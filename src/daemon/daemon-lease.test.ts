import { expect, test } from "bun:test";
import { World } from "../../test/lab/data/made-up-world.ts";
import { ManualClock } from "../../test/lab/manual-clock.ts";
import { ELSEWHERE } from "../../test/suites/catalog/records.ts";
import { LEASE_MS } from "../base/limits.ts";
import type { LeaseHolder } from "../catalog/records.ts";
import { holdDaemonLease } from "./daemon-lease.ts";

const clock = new ManualClock();

/** A daemon that starts while a process in another container holds the leases `names`. */
async function starting(names: readonly string[]) {
  const world = await World.make({});
  const { catalog } = world.context;
  const now = clock.now();
  const ends = (ms: number) => new Date(clock.now().getTime() + ms).toISOString();
  for (const [index, name] of names.entries()) {
    const lease: LeaseHolder = {
      ...ELSEWHERE,
      name,
      run_id: `run of ${name}`,
      acquired_at: now.toISOString(),
      expires_at: ends(LEASE_MS + 10_000 * index),
    };
    await catalog.acquireLease(lease, now.toISOString(), () => "unseen");
  }
  const waits: LeaseHolder[] = [];
  const ending = new AbortController();
  const tools = { clock, signal: ending.signal, onWait: (holder: LeaseHolder) => void waits.push(holder) };
  const lease = holdDaemonLease(catalog, world.context, tools);
  lease.catch(() => {});
  return { world, catalog, lease, waits, ending, ends };
}

test("a daemon waits until all leases of a dead, invisible daemon have expired, and then takes its place", async () => {
  const { world, catalog, lease, waits } = await starting(["daemon", "main/app"]);
  await using _world = world;
  const startedAtMs = clock.monotonicMs();
  await using held = await clock.advanceUntil(lease, 500);
  expect(clock.monotonicMs() - startedAtMs).toBeGreaterThanOrEqual(LEASE_MS + 10_000);
  expect(held.signal.aborted).toBe(false);
  expect(waits).toMatchObject([{ name: "daemon", pid: ELSEWHERE.pid }]);
  const daemon = (await catalog.leases()).find(({ name }) => name === "daemon");
  expect(daemon).toMatchObject({ pid: process.pid });
});

test("a living, invisible daemon renews its lease, and the other daemon ends with 11", async () => {
  const { world, catalog, lease, ends } = await starting(["daemon"]);
  await using _world = world;
  await clock.advance(LEASE_MS / 4);
  await catalog.renewLease("daemon", "run of daemon", ends(LEASE_MS));
  const startedAtMs = clock.monotonicMs();
  await expect(clock.advanceUntil(lease, 500)).rejects.toMatchObject({ code: "locked", exitCode: 11 });
  expect(clock.monotonicMs() - startedAtMs).toBeLessThan(5_000);
});

test("the wait ends with the signal", async () => {
  const { world, lease, ending } = await starting(["daemon"]);
  await using _world = world;
  await clock.advance(1_000);
  ending.abort(new Error("ended by SIGTERM"));
  await expect(lease).rejects.toThrow("ended by SIGTERM");
});
