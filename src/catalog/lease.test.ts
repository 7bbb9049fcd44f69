import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ELSEWHERE } from "../../test/suites/catalog/records.ts";
import type { Clock } from "../base/clock.ts";
import { systemClock } from "../base/clock.ts";
import { Pg321Error } from "../base/errors.ts";
import { LEASE_LOOK_MS, LEASE_MS, LEASE_POLL_MS, LEASE_WAIT_MS, LEASE_WATCH_MS } from "../base/limits.ts";
import { fateOf } from "../base/process/identity.ts";
import type { Catalog } from "./catalog.ts";
import { underLease } from "./fleet/fenced-catalog.ts";
import { awaitLease, holdLease, isAwaited, isHeld, type LeaseRequest } from "./lease.ts";
import { openCatalog } from "./open.ts";
import type { LeaseHolder } from "./records.ts";

let directory: string;
let catalog: Catalog;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "pg321-lease-"));
  catalog = await openCatalog(
    { type: "sqlite", path: join(directory, "catalog.db") },
    { clock: systemClock },
  );
});
afterAll(async () => {
  await catalog[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

/** A clock that stands still until `advance`, which also waits until everything that it wakes is idle. */
function handClock(): Clock & { advance(ms: number): Promise<void> } {
  let nowMs = Date.parse("2026-01-01T00:00:00Z");
  const sleepers = new Set<{ atMs: number; wake: () => void }>();
  return {
    now: () => new Date(nowMs),
    monotonicMs: () => nowMs,
    sleep: (delayMs, signal) =>
      new Promise((resolve, reject) => {
        const sleeper = { atMs: nowMs + delayMs, wake: resolve };
        sleepers.add(sleeper);
        signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
      }),
    async advance(ms) {
      nowMs += ms;
      for (const sleeper of sleepers) {
        if (sleeper.atMs > nowMs) continue;
        sleepers.delete(sleeper);
        sleeper.wake();
      }
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

const request = (name: string): LeaseRequest => ({
  name,
  runId: crypto.randomUUID(),
  host: "here",
  pid: process.pid,
});
const never = new AbortController().signal;
const find = async (name: string) => (await catalog.leases()).find((lease) => lease.name === name);

test("a second run is refused with the name of the holder until the lease is released", async () => {
  const clock = handClock();
  const first = request("backup of main/a");
  const held = await holdLease(catalog, first, { clock, signal: never });
  const error = await holdLease(catalog, request("backup of main/a"), { clock, signal: never }).catch(
    (e) => e,
  );
  expect(error).toMatchObject({ code: "locked", exitCode: 11 });
  expect(error.message).toBe(
    `backup of main/a: held by run ${first.runId} (pid ${process.pid} on here) since 2026-01-01 00:00:00 UTC, at least until 2026-01-01 00:01:00 UTC`,
  );
  expect(error.hint).toContain("wait");
  await held[Symbol.asyncDispose]();
  expect(held.signal.aborted).toBe(false);
  await using second = await holdLease(catalog, request("backup of main/a"), { clock, signal: never });
  expect(second.signal.aborted).toBe(false);
});

test("the heartbeat renews a lease four times before it would expire", async () => {
  const clock = handClock();
  await using held = await holdLease(catalog, request("b"), { clock, signal: never });
  for (let beat = 1; beat <= 12; beat++) {
    await clock.advance(LEASE_MS / 4);
    const expected = new Date(clock.now().getTime() + LEASE_MS).toISOString();
    expect((await find("b"))?.expires_at).toBe(expected);
  }
  expect(held.signal.aborted).toBe(false);
});

test("a renewal that finds the lease taken by another run aborts the holder, and does not release the new lease", async () => {
  const clock = handClock();
  const held = await holdLease(catalog, request("c"), { clock, signal: never });
  const work = underLease({ catalog, signal: never }, held);
  const { expires_at } = (await find("c")) as LeaseHolder;
  const other: LeaseHolder = {
    name: "c",
    run_id: crypto.randomUUID(),
    ...ELSEWHERE,
    acquired_at: expires_at,
    expires_at: "2027-01-01T00:00:00.000Z",
  };
  expect(await catalog.acquireLease(other, expires_at, () => "unseen")).toBeUndefined();
  await clock.advance(LEASE_MS / 4);
  for (const { signal } of [held, work]) expect(signal.reason).toMatchObject({ code: "locked" });
  await held[Symbol.asyncDispose]();
  expect(await find("c")).toEqual(other);
});

test("the caller's signal aborts the work but keeps the lease, which clean-up still needs", async () => {
  const clock = handClock();
  const caller = new AbortController();
  await using held = await holdLease(catalog, request("d"), { clock, signal: caller.signal });
  caller.abort(new Error("stop"));
  expect(held.signal.reason).toMatchObject({ message: "stop" });
  await clock.advance(LEASE_MS / 4);
  expect((await find("d"))?.expires_at).toBe(new Date(clock.now().getTime() + LEASE_MS).toISOString());
  await expect(holdLease(catalog, request("e"), { clock, signal: caller.signal })).rejects.toThrow("stop");
  expect(await find("e")).toBeUndefined();
});

test("an unreachable catalog is tolerated until the lease has expired, and no longer", async () => {
  const clock = handClock();
  const path = join(directory, "lost.db");
  const lost = await openCatalog({ type: "sqlite", path }, { clock: systemClock });
  const held = await holdLease(lost, request("f"), { clock, signal: never });
  // The last renewal counts.
  await clock.advance(LEASE_MS / 4);
  await lost[Symbol.asyncDispose]();
  for (const expected of [false, false, false, true]) {
    await clock.advance(LEASE_MS / 4);
    expect(held.signal.aborted).toBe(expected);
  }
  await held[Symbol.asyncDispose]();
});

test("with untilTaken a lease outlives a failing catalog, and reports the failure", async () => {
  const clock = handClock();
  const failing = Object.create(catalog) as typeof catalog;
  failing.acquireLease = (...given) => catalog.acquireLease(...given);
  failing.leaseToken = (...given) => catalog.leaseToken(...given);
  failing.releaseLease = (...given) => catalog.releaseLease(...given);
  failing.leases = () => catalog.leases();
  const full = new Pg321Error("storage", "the disk is full");
  let isFull = true;
  failing.renewLease = (...given) => (isFull ? Promise.reject(full) : catalog.renewLease(...given));
  const tools = { clock, signal: never, untilTaken: true };
  await using held = await holdLease(failing, request("h"), tools);
  expect(held.trouble).toBeUndefined();
  for (let beat = 0; beat < 12; beat++) await clock.advance(LEASE_MS / 4);
  expect(held.signal.aborted).toBe(false);
  expect(held.trouble).toBe(full);
  isFull = false;
  await clock.advance(LEASE_MS / 4);
  expect(held.trouble).toBeUndefined();
  const expected = new Date(clock.now().getTime() + LEASE_MS).toISOString();
  expect((await find("h"))?.expires_at).toBe(expected);
  await catalog.releaseLease("h", (await find("h"))?.run_id ?? "");
  await clock.advance(LEASE_MS / 4);
  expect(held.signal.reason).toMatchObject({ code: "locked" });
});

test("a lease that could not be released is free for its own process", async () => {
  const clock = handClock();
  const failing = Object.create(catalog) as typeof catalog;
  failing.acquireLease = (...given) => catalog.acquireLease(...given);
  failing.leaseToken = (...given) => catalog.leaseToken(...given);
  failing.renewLease = (...given) => catalog.renewLease(...given);
  failing.leases = () => catalog.leases();
  failing.releaseLease = () => Promise.reject(new Pg321Error("storage", "the disk is full"));
  const held = await holdLease(failing, request("left"), { clock, signal: never });
  await held[Symbol.asyncDispose]();
  const left = (await find("left")) as LeaseHolder;
  expect(isHeld(left, clock.now().toISOString())).toBe(false);
  await using next = await holdLease(catalog, request("left"), { clock, signal: never });
  expect(next.signal.aborted).toBe(false);
  expect(isHeld((await find("left")) as LeaseHolder, clock.now().toISOString())).toBe(true);
});

test("a process is distinguished from a later one with the same pid", async () => {
  const child = Bun.spawn(["sleep", "60"]);
  const clock = handClock();
  await using _held = await holdLease(catalog, { ...request("g"), pid: child.pid }, { clock, signal: never });
  const holder = (await find("g")) as LeaseHolder;
  expect(holder.pid_start).toBeGreaterThan(0);
  expect(fateOf(holder)).toBe("alive");
  expect(fateOf({ ...holder, pid_start: (holder.pid_start ?? 0) - 1 })).toBe("dead");
  child.kill("SIGKILL");
  await child.exited;
  expect(fateOf(holder)).toBe("dead");
  await using next = await holdLease(catalog, request("g"), { clock, signal: never });
  expect(next.signal.aborted).toBe(false);
});

test("the expired lease of a holder that cannot be seen is taken only if it is not renewed meanwhile", async () => {
  const clock = handClock();
  const now = clock.now().toISOString();
  const left = (name: string): LeaseHolder => ({
    ...{ ...ELSEWHERE, name, run_id: `run of ${name}` },
    ...{ acquired_at: "2025-01-01T00:00:00.000Z", expires_at: "2025-01-01T00:01:00.000Z" },
  });
  for (const name of ["j", "k"]) await catalog.acquireLease(left(name), now, () => "unseen");
  const take = (name: string) => holdLease(catalog, request(name), { clock, signal: never });
  // This host was suspended, and a process in another container is still working.
  const refused = take("j").catch((error) => error);
  await clock.advance(LEASE_LOOK_MS);
  await catalog.renewLease("j", "run of j", new Date(clock.now().getTime() + LEASE_MS).toISOString());
  await clock.advance(LEASE_LOOK_MS);
  expect(await refused).toMatchObject({ code: "locked" });
  expect(await find("j")).toMatchObject({ run_id: "run of j" });

  let isTaken = false;
  const taken = take("k").finally(() => {
    isTaken = true;
  });
  for (let lookedMs = 0; lookedMs < LEASE_WATCH_MS - LEASE_LOOK_MS; lookedMs += LEASE_LOOK_MS)
    await clock.advance(LEASE_LOOK_MS);
  expect(isTaken).toBe(false);
  while (!isTaken) await clock.advance(LEASE_LOOK_MS);
  await using held = await taken;
  expect(held.signal.aborted).toBe(false);
});

test("only one run waits, is seen to wait, and gets the lease when the holder releases it", async () => {
  const clock = handClock();
  const waiting = (name: string, isBrief = true) => ({
    request: request(name),
    tools: { clock, signal: never, isBrief: async () => isBrief, onWait: () => {} },
  });
  const awaited = () => isAwaited(catalog, "h", clock.now());
  const first = await holdLease(catalog, request("h"), { clock, signal: never });
  const impatient = waiting("h", false);
  await expect(awaitLease(catalog, impatient.request, impatient.tools)).rejects.toMatchObject({
    code: "locked",
  });
  expect(await awaited()).toBe(false);

  const started = Promise.withResolvers<LeaseHolder>();
  const second = waiting("h");
  const next = awaitLease(catalog, second.request, { ...second.tools, onWait: started.resolve });
  expect((await started.promise).name).toBe("h");
  expect(await awaited()).toBe(true);
  const third = waiting("h");
  const refused = awaitLease(catalog, third.request, third.tools);
  await expect(refused).rejects.toMatchObject({
    code: "locked",
    message: expect.stringContaining("h: another run is already waiting"),
  });
  await clock.advance(LEASE_POLL_MS);
  expect(await awaited()).toBe(true);
  await first[Symbol.asyncDispose]();
  await clock.advance(LEASE_POLL_MS);
  await using held = await next;
  expect(held.signal.aborted).toBe(false);
  expect((await find("h"))?.run_id).toBe(second.request.runId);
  expect(await awaited()).toBe(false);
});

test("the wait for a lease ends", async () => {
  const clock = handClock();
  await using _first = await holdLease(catalog, request("i"), { clock, signal: never });
  const started = Promise.withResolvers<LeaseHolder>();
  const next = awaitLease(catalog, request("i"), {
    ...{ clock, signal: never, isBrief: async () => true, onWait: started.resolve },
  });
  const ended = next.then(
    () => "taken",
    (error) => error,
  );
  await started.promise;
  await clock.advance(LEASE_WAIT_MS);
  expect(await ended).toMatchObject({ code: "locked", message: expect.stringContaining("i: held by") });
  expect(await isAwaited(catalog, "i", clock.now())).toBe(false);
});
