import { expect, test } from "bun:test";
import type { Catalog } from "../../../src/catalog/catalog.ts";
import type { Fence } from "../../../src/catalog/fence.ts";
import { fencedCatalog } from "../../../src/catalog/fleet/fenced-catalog.ts";
import { hostView } from "../../../src/catalog/fleet/host-view.ts";
import type { AlertRecord, LeaseHolder, RestoreTestRecord } from "../../../src/catalog/records.ts";
import { alertRecord, backupRecord, copyRecord, deliveryRecord, ELSEWHERE } from "./records.ts";

/** The part of the catalog's conformance suite about the tokens of leases, and about the alerts of hosts. */
export function fences(use: () => Catalog): void {
  const now = "2026-05-01T00:00:30.000Z";
  const leaseOf = (name: string): LeaseHolder => ({
    name,
    run_id: crypto.randomUUID(),
    ...ELSEWHERE,
    acquired_at: now,
    expires_at: "2026-05-01T00:01:00.000Z",
  });
  /** Takes the lease although it is held, as after its time. */
  const take = async (name: string): Promise<Fence> => {
    const lease = leaseOf(name);
    expect(await use().acquireLease(lease, now, () => "dead")).toBeUndefined();
    const token = await use().leaseToken(name, lease.run_id);
    if (token === undefined) throw new Error("no token");
    return { name, token };
  };

  test("tokens rise with each lease that is taken, of any name, and belong to the holder", async () => {
    const name = crypto.randomUUID();
    const tokens: number[] = [];
    for (const taken of [name, crypto.randomUUID(), name]) tokens.push((await take(taken)).token);
    expect(tokens).toEqual([...new Set(tokens)].sort((a, b) => a - b));
    expect(await use().leaseToken(name, "another run")).toBeUndefined();
    // A released lease does not give its token again.
    const lease = leaseOf(crypto.randomUUID());
    await use().acquireLease(lease, now, () => "alive");
    const first = await use().leaseToken(lease.name, lease.run_id);
    await use().releaseLease(lease.name, lease.run_id);
    expect(await use().leaseToken(lease.name, lease.run_id)).toBeUndefined();
    await use().acquireLease(lease, now, () => "alive");
    expect(await use().leaseToken(lease.name, lease.run_id)).toBeGreaterThan(first ?? 0);
  });

  test("a fenced write is made while the lease is its run's, also after its time, and refused afterwards", async () => {
    const name = crypto.randomUUID();
    const fenced = fencedCatalog(use(), await take(name));
    const backup = backupRecord();
    const copy = copyRecord(backup, { state: "INTENDED" });
    await fenced.insertBackup(backup);
    await fenced.putCopy(copy);
    await fenced.updateBackup(backup.id, { status: "VERIFIED" });
    await use().renewLease(name, "another run", "2026-05-01T00:09:00.000Z");
    await fenced.updateCopy(copy.backup_id, copy.storage, { state: "CONFIRMED" });
    const [before, copies] = [await use().backup(backup.id), await use().copies(backup.id)];

    await take(name);
    const refused = { code: "locked", message: `${name}: the lease was lost while the job ran` };
    const other = backupRecord();
    const { id, server, database, kind, started_at } = backup;
    const tombstone = {
      ...{ backup_id: id, server, database, kind, started_at, dump_bytes: null, object_bytes: null },
      ...{ was_good: true, removed_at: now, removed_by: "retention" as const },
    };
    const tested: RestoreTestRecord = {
      ...{ id: crypto.randomUUID(), run_id: null, prover: null, backup_id: id, server, database },
      ...{ backup_started_at: started_at, storage: null, target: "throwaway", outcome: "PASSED" },
      ...{ started_at, finished_at: now, fetch_ms: null, restore_ms: null, check_ms: null, dump_bytes: null },
      ...{ checks: [], error: null },
    };
    const writes = [
      () => fenced.insertBackup(other),
      () => fenced.updateBackup(id, { status: "FAILED" }),
      () => fenced.removeBackup(tombstone),
      () => fenced.putCopy({ ...copy, storage: "elsewhere" }),
      () => fenced.putCopies([{ ...copy, storage: "elsewhere" }]),
      () => fenced.updateCopy(id, copy.storage, { state: "DELETING" }),
      () => fenced.restoreTests.add(tested),
    ];
    for (const write of writes) expect(await write().catch((error) => error)).toMatchObject(refused);
    expect(await use().backup(id)).toEqual(before);
    expect(await use().copies(id)).toEqual(copies);
    expect(await use().backup(other.id)).toBeUndefined();
    expect((await use().restoreTests.list({ server, database })).map((one) => one.id)).not.toContain(
      tested.id,
    );
    // What is read, and what is no write about a backup, is not fenced.
    expect((await fenced.backup(id))?.id).toBe(id);
    await fenced.acknowledgeAlert((await newAlert(use())).id, now);
  });

  test("a released lease refuses the writes of its run as well; the last fence put on counts", async () => {
    const lease = leaseOf(crypto.randomUUID());
    await use().acquireLease(lease, now, () => "alive");
    const token = (await use().leaseToken(lease.name, lease.run_id)) ?? 0;
    await use().releaseLease(lease.name, lease.run_id);
    const lost = fencedCatalog(use(), { name: lease.name, token });
    expect(await lost.insertBackup(backupRecord()).catch((error) => error)).toMatchObject({ code: "locked" });
    const again = fencedCatalog(lost, await take(lease.name));
    await again.insertBackup(backupRecord());
  });

  test("each host has its own open alert of a key; one of no host is everybody's", async () => {
    const key = crypto.randomUUID();
    const isShared = ({ server }: AlertRecord) => server === "shared";
    const raise = (host: string | undefined, change: Partial<AlertRecord> = {}) => {
      const scope = host === undefined ? undefined : { host, isShared };
      const about = { key, resolved_at: null, ...change };
      return use().changeAlert(
        key,
        (open) => ({ alert: { ...alertRecord(about), id: open?.id ?? crypto.randomUUID() }, deliveries: [] }),
        scope,
      );
    };
    const [a, b] = [await raise("a"), await raise("b")];
    expect(a?.id).not.toBe(b?.id as string);
    expect((await raise("a"))?.id).toBe(a?.id as string);
    const idsFor = async (host?: string) =>
      (await use().alerts({ key, open: true, ...(host !== undefined && { host }) }))
        .map(({ id }) => id)
        .sort();
    expect(await idsFor("a")).toEqual([String(a?.id)]);
    expect(await idsFor()).toEqual([String(a?.id), String(b?.id)].sort());
    // Resolved by its own host only.
    await use().changeAlert(key, (open) => open && { alert: { ...open, resolved_at: now }, deliveries: [] }, {
      ...{ host: "b", isShared },
    });
    expect(await idsFor()).toEqual([String(a?.id)]);
    const common = crypto.randomUUID();
    const scopes = ["a", "b"].map((host) => ({ host, isShared }));
    for (const scope of scopes)
      await use().changeAlert(
        common,
        (open) => ({
          alert: open ?? { ...alertRecord({ key: common, server: "shared", resolved_at: null }) },
          deliveries: [],
        }),
        scope,
      );
    for (const host of ["a", "b", "c"]) expect(await use().alerts({ key: common, host })).toHaveLength(1);
  });

  test("a notice of one host is sent by no other", async () => {
    const notifier = crypto.randomUUID();
    const [own, anybody] = [deliveryRecord({ notifier }), deliveryRecord({ notifier })];
    await hostView(use(), { host: "a", isShared: () => false }).insertDeliveries([own]);
    await use().insertDeliveries([anybody]);
    const idsFor = async (host: string) => (await use().deliveries({ notifier, host })).map(({ id }) => id);
    expect(await idsFor("a")).toEqual([own.id, anybody.id]);
    expect(await idsFor("b")).toEqual([anybody.id]);
  });
}

/** The part of the suite about due times that hosts share. */
export function slots(use: () => Catalog): void {
  const slot = (change: object = {}) => ({
    ...{ schedule: "backup", server: crypto.randomUUID(), due_at: "2026-05-01T02:00:00.000Z" },
    ...{ host: "a", claimed_at: "2026-05-01T02:00:01.000Z" },
    ...change,
  });

  test("a due time of a server is one host's: the first that takes it, also if many do at once", async () => {
    const one = slot();
    const hosts = ["a", "b", "c", "d"];
    const taken = await Promise.all(hosts.map((host) => use().slots.take({ ...one, host })));
    expect(new Set(taken).size).toBe(1);
    expect(await use().slots.take({ ...one, host: "z" })).toBe(String(taken[0]));
    for (const other of [
      { server: "x" },
      { schedule: "backup busy" },
      { due_at: "2026-05-02T02:00:00.000Z" },
    ])
      expect(await use().slots.take({ ...one, ...other, host: "z" })).toBe("z");
  });

  test("another host may take over the newest one, unless the host that has it has taken it again", async () => {
    const { slots } = use();
    const newest = slot();
    const old = { ...newest, due_at: "2026-05-01T01:00:00.000Z" };
    for (const taken of [newest, old]) await slots.take(taken);
    const found = (until = newest.due_at) => slots.newest("backup", old.server, until);
    expect(await found()).toEqual(newest);
    expect(await found("2026-05-01T01:59:59.000Z")).toEqual(old);
    expect(await slots.newest("backup", crypto.randomUUID(), newest.due_at)).toBeUndefined();
    const again = { ...newest, claimed_at: "2026-05-01T02:10:00.000Z" };
    expect(await slots.take(again)).toBe("a");
    const by = { host: "b", claimed_at: "2026-05-01T02:20:00.000Z" };
    expect(await slots.takeOver(newest, by)).toBe(false);
    expect(await slots.takeOver(again, by)).toBe(true);
    expect(await slots.takeOver(again, { ...by, host: "c" })).toBe(false);
    expect(await found()).toEqual({ ...newest, ...by });
    expect(await slots.take(newest)).toBe("b");
    expect(await found()).toEqual({ ...newest, ...by });
  });

  test("old due times are removed", async () => {
    const [old, young] = [slot(), slot({ due_at: "2026-05-09T02:00:00.000Z" })];
    for (const one of [old, young]) await use().slots.take(one);
    await use().slots.prune("2026-05-02T00:00:00.000Z");
    expect(await use().slots.take({ ...old, host: "b" })).toBe("b");
    expect(await use().slots.take({ ...young, host: "b" })).toBe("a");
  });
}

async function newAlert(catalog: Catalog): Promise<AlertRecord> {
  const key = crypto.randomUUID();
  const alert = alertRecord({ key });
  await catalog.changeAlert(key, () => ({ alert, deliveries: [] }));
  return alert;
}
