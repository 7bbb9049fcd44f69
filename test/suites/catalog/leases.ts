import { expect, test } from "bun:test";
import type { Catalog } from "../../../src/catalog/catalog.ts";
import type { LeaseHolder } from "../../../src/catalog/records.ts";
import { ELSEWHERE } from "./records.ts";

/** The part of the catalog's conformance suite about leases. */
export function leases(use: () => Catalog, reopen: () => Promise<void>): void {
  const alive = () => "alive" as const;
  const dead = () => "dead" as const;
  const unseen = () => "unseen" as const;
  const now = "2026-05-01T00:00:30.000Z";
  const holder = (change: Partial<LeaseHolder> = {}): LeaseHolder => ({
    name: crypto.randomUUID(),
    run_id: crypto.randomUUID(),
    ...ELSEWHERE,
    acquired_at: "2026-05-01T00:00:00.000Z",
    expires_at: "2026-05-01T00:01:00.000Z",
    ...change,
  });

  test("are taken by one run; the next gets the holder, also after reopening", async () => {
    const first = holder();
    expect(await use().acquireLease(first, now, alive)).toBeUndefined();
    await reopen();
    expect(await use().acquireLease(holder({ name: first.name }), now, alive)).toEqual(first);
    expect(await use().acquireLease(holder(), now, alive)).toBeUndefined();
    expect(await use().leases()).toContainEqual(first);
  });

  test("of a holder that cannot be seen are free from the moment they expire", async () => {
    const first = holder();
    const next = holder({ name: first.name, expires_at: "2026-05-01T00:02:00.000Z" });
    await use().acquireLease(first, now, alive);
    expect(await use().acquireLease(next, "2026-05-01T00:00:59.999Z", unseen)).toEqual(first);
    expect(await use().acquireLease(next, "2026-05-01T00:01:00.000Z", unseen)).toBeUndefined();
    expect((await use().leases()).filter(({ name }) => name === first.name)).toEqual([next]);
  });

  test("stay with a living holder, even if it was suspended for longer than they last", async () => {
    const first = holder();
    await use().acquireLease(first, now, alive);
    const next = holder({ name: first.name });
    expect(await use().acquireLease(next, "2026-05-01T09:00:00.000Z", alive)).toEqual(first);
    expect(await use().acquireLease(next, "2026-05-01T09:00:00.000Z", dead)).toBeUndefined();
  });

  test("are free if their holder is dead, judged by the whole record", async () => {
    const first = holder();
    await use().acquireLease(first, now, alive);
    const asked: LeaseHolder[] = [];
    const next = holder({ name: first.name });
    const isDead = (held: LeaseHolder) => {
      asked.push(held);
      return "dead" as const;
    };
    expect(await use().acquireLease(next, now, isDead)).toBeUndefined();
    expect(asked).toEqual([first]);
  });

  test("are renewed and released only by their holder", async () => {
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
