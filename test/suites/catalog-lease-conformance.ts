import { expect, test } from "bun:test";
import type { Catalog, LeaseHolder } from "../../src/catalog/catalog.ts";

/** The part of the catalog's conformance suite that is about leases. */
export function leases(use: () => Catalog, reopen: () => Promise<void>): void {
  const alive = () => true;
  const dead = () => false;
  const now = "2026-05-01T00:00:30.000Z";
  const holder = (change: Partial<LeaseHolder> = {}): LeaseHolder => ({
    name: crypto.randomUUID(),
    run_id: crypto.randomUUID(),
    host: "here",
    pid: 42,
    pid_start: 1234,
    acquired_at: "2026-05-01T00:00:00.000Z",
    expires_at: "2026-05-01T00:01:00.000Z",
    ...change,
  });

  test("are taken by one, who is told to the next, also after it is opened again", async () => {
    const first = holder();
    expect(await use().acquireLease(first, now, alive)).toBeUndefined();
    await reopen();
    expect(await use().acquireLease(holder({ name: first.name }), now, alive)).toEqual(first);
    expect(await use().acquireLease(holder(), now, alive)).toBeUndefined();
    expect(await use().leases()).toContainEqual(first);
  });

  test("of another host are free once they ran out, at that very moment and not before", async () => {
    const first = holder({ host: "there" });
    const next = holder({ name: first.name, expires_at: "2026-05-01T00:02:00.000Z" });
    await use().acquireLease(first, now, alive);
    expect(await use().acquireLease(next, "2026-05-01T00:00:59.999Z", alive)).toEqual(first);
    expect(await use().acquireLease(next, "2026-05-01T00:01:00.000Z", alive)).toBeUndefined();
    expect((await use().leases()).filter(({ name }) => name === first.name)).toEqual([next]);
  });

  test("stay with a holder on this host that lives, though it was suspended for longer than they last", async () => {
    const first = holder();
    await use().acquireLease(first, now, alive);
    const next = holder({ name: first.name });
    expect(await use().acquireLease(next, "2026-05-01T09:00:00.000Z", alive)).toEqual(first);
    expect(await use().acquireLease(next, "2026-05-01T09:00:00.000Z", dead)).toBeUndefined();
  });

  test("are free when their holder on this host is dead; of another host nobody can tell", async () => {
    const first = holder();
    await use().acquireLease(first, now, alive);
    const asked: LeaseHolder[] = [];
    const elsewhere = holder({ name: first.name, host: "there" });
    expect(await use().acquireLease(elsewhere, now, dead)).toEqual(first);
    const next = holder({ name: first.name });
    const isAlive = (held: LeaseHolder) => {
      asked.push(held);
      return false;
    };
    expect(await use().acquireLease(next, now, isAlive)).toBeUndefined();
    expect(asked).toEqual([first]);
  });

  test("are renewed and released by their holder only", async () => {
    const first = holder();
    await use().acquireLease(first, now, alive);
    const later = "2026-05-01T00:05:00.000Z";
    expect(await use().renewLease(first.name, crypto.randomUUID(), later)).toBe(false);
    expect(await use().renewLease(first.name, first.run_id, later)).toBe(true);
    await use().releaseLease(first.name, crypto.randomUUID());
    const next = holder({ name: first.name });
    expect(await use().acquireLease(next, now, alive)).toEqual({ ...first, expires_at: later });
    await use().releaseLease(first.name, first.run_id);
    expect(await use().renewLease(first.name, first.run_id, later)).toBe(false);
    expect(await use().acquireLease(next, now, alive)).toBeUndefined();
  });
}
