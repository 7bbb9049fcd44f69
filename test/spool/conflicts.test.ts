import { describe, expect, test } from "bun:test";
import type { Catalog } from "../../src/catalog/catalog.ts";
import { useSpools } from "../lab/servers/use-spools.ts";
import {
  alertRecord,
  backupRecord,
  copyRecord,
  deliveryRecord,
  ELSEWHERE,
} from "../suites/catalog/records.ts";

/** What other hosts do while a host works without the catalog, and what becomes of both. */

const spools = useSpools();

describe("a lease that outlives an outage", () => {
  const run = (name: string) => ({
    name,
    run_id: crypto.randomUUID(),
    ...ELSEWHERE,
    acquired_at: new Date().toISOString(),
    expires_at: new Date(Date.now() + 60_000).toISOString(),
  });
  const take = async (catalog: Catalog, lease: ReturnType<typeof run>) => {
    expect(await catalog.acquireLease(lease, new Date().toISOString(), () => "unseen")).toBeUndefined();
    return { name: lease.name, token: Number(await catalog.leaseToken(lease.name, lease.run_id)) };
  };

  test("goes on, with its fence, whether it was taken before the outage or in it", async () => {
    const place = await spools.newPlace();
    await using catalog = await spools.open(place);
    const [before, within] = [run("main/app"), run("main/other")];
    const fences = [await take(catalog, before)];
    const backup = backupRecord();
    await catalog.insertBackup(backup, fences[0]);
    spools.relay.cut();
    fences.push(await take(catalog, within));
    for (const lease of [before, within])
      expect(await catalog.renewLease(lease.name, lease.run_id, lease.expires_at)).toBe(true);
    await catalog.updateBackup(backup.id, { error: "within" }, fences[0]);
    spools.relay.pass();
    await spools.untilBack(catalog);
    await using other = await spools.openDirectly(place);
    expect((await other.leases()).map(({ run_id }) => run_id)).toEqual([before.run_id, within.run_id]);
    await catalog.updateBackup(backup.id, { error: "after" }, fences[0]);
    const second = backupRecord({ database: "other" });
    await catalog.insertBackup(second, fences[1]);
    expect((await other.backup(backup.id))?.error).toBe("after");
    expect(await other.backup(second.id)).toEqual(second);
    // A later run fences them as ever.
    await other.releaseLease(before.name, before.run_id);
    await take(other, run("main/app"));
    await expect(catalog.updateBackup(backup.id, { error: "late" }, fences[0])).rejects.toMatchObject({
      code: "locked",
    });
    for (const lease of [before, within]) await catalog.releaseLease(lease.name, lease.run_id);
  });

  test("goes on here if another host has it by then, and both backups are kept", async () => {
    const place = await spools.newPlace();
    await using catalog = await spools.open(place);
    await using other = await spools.openDirectly(place);
    spools.relay.cut();
    const [ours, theirs] = [run("main/app"), run("main/app")];
    const fence = await take(catalog, ours);
    const their = await take(other, theirs);
    const [first, second] = [backupRecord(), backupRecord()];
    await catalog.insertBackup(first, fence);
    await other.insertBackup(second, their);
    spools.relay.pass();
    await spools.untilBack(catalog);
    expect(await catalog.renewLease(ours.name, ours.run_id, ours.expires_at)).toBe(true);
    await catalog.updateBackup(first.id, { status: "VERIFIED" }, fence);
    await other.updateBackup(second.id, { status: "VERIFIED" }, their);
    await catalog.leases();
    expect((await other.backups({})).map(({ status }) => status)).toEqual(["VERIFIED", "VERIFIED"]);
    await catalog.releaseLease(ours.name, ours.run_id);
    expect((await other.leases()).map(({ run_id }) => run_id)).toEqual([theirs.run_id]);
  });
});

test("what a run writes after the outage is looked at again too, if another host had its lease meanwhile", async () => {
  const place = await spools.newPlace();
  await using catalog = await spools.open(place);
  await using other = await spools.openDirectly(place);
  const now = new Date().toISOString();
  const lease = (run_id: string) => ({
    name: "main/app",
    run_id,
    ...ELSEWHERE,
    acquired_at: now,
    expires_at: new Date(Date.now() + 60_000).toISOString(),
  });
  await catalog.acquireLease(lease("ours"), now, () => "unseen");
  const fence = { name: "main/app", token: Number(await catalog.leaseToken("main/app", "ours")) };
  const backup = backupRecord();
  await catalog.insertBackup(backup, fence);
  await catalog.putCopy(copyRecord(backup), fence);
  spools.relay.cut();
  expect(await catalog.renewLease("main/app", "ours", lease("ours").expires_at)).toBe(true);
  expect(await other.acquireLease(lease("theirs"), now, () => "dead")).toBeUndefined();
  await other.updateCopy(backup.id, "local", { state: "FAILED" });
  await other.updateBackup(backup.id, { status: "INTERRUPTED" });
  await other.releaseLease("main/app", "theirs");
  spools.relay.pass();
  await spools.untilBack(catalog);
  await catalog.updateCopy(backup.id, "local", { state: "CONFIRMED", object_bytes: 7 }, fence);
  expect(await other.copies(backup.id)).toMatchObject([{ state: "INTENDED", confirmed_at: null }]);
  await catalog.releaseLease("main/app", "ours");
});

test("a backup that another host has settled meanwhile is looked at again, not believed", async () => {
  const place = await spools.newPlace();
  await using catalog = await spools.open(place);
  await using other = await spools.openDirectly(place);
  const backup = backupRecord();
  await catalog.insertBackup(backup);
  await catalog.putCopy(copyRecord(backup));
  spools.relay.cut();
  await catalog.updateCopy(backup.id, "local", { state: "CONFIRMED", object_bytes: 7 });
  await catalog.updateBackup(backup.id, { status: "VERIFIED" });
  await other.updateCopy(backup.id, "local", { state: "FAILED", error: "the run ended" });
  await other.updateBackup(backup.id, { status: "INTERRUPTED" });
  spools.relay.pass();
  await spools.untilBack(catalog);
  expect(await other.copies(backup.id)).toMatchObject([{ state: "INTENDED", confirmed_at: null }]);
  expect(await catalog.copiesInState("INTENDED")).toHaveLength(1);
});

test("of copies that were put at once, those that another host has removed meanwhile stay removed", async () => {
  const place = await spools.newPlace();
  await using catalog = await spools.open(place);
  await using other = await spools.openDirectly(place);
  const backup = backupRecord();
  const copies = ["local", "vault"].map((storage) => copyRecord(backup, { storage }));
  await catalog.insertBackup(backup);
  await catalog.putCopies(copies);
  spools.relay.cut();
  await catalog.putCopies(copies.map((copy) => ({ ...copy, state: "INTENDED", upload_id: "second" })));
  await other.updateCopy(backup.id, "local", { state: "DELETED" });
  spools.relay.pass();
  await spools.untilBack(catalog);
  expect(await other.copies(backup.id)).toMatchObject([
    { storage: "local", state: "DELETED" },
    { storage: "vault", state: "INTENDED", upload_id: "second" },
  ]);
});

test("a backup that another host has adopted meanwhile gets the record of the host that made it, and keeps a hold", async () => {
  const place = await spools.newPlace();
  await using catalog = await spools.open(place);
  await using other = await spools.openDirectly(place);
  spools.relay.cut();
  const backup = backupRecord({ error: "ours" });
  await catalog.insertBackup(backup);
  await catalog.putCopy(copyRecord(backup));
  await catalog.updateCopy(backup.id, "local", { state: "CONFIRMED" });
  await catalog.updateBackup(backup.id, { status: "VERIFIED" });
  const hold = { held_at: "2026-01-03T00:00:00.000Z", hold_reason: "keep it" };
  await other.insertBackup({ ...backup, status: "VERIFIED", error: null, ...hold });
  await other.putCopy(copyRecord(backup, { state: "CONFIRMED" }));
  spools.relay.pass();
  await spools.untilBack(catalog);
  expect(await other.backup(backup.id)).toMatchObject({ status: "VERIFIED", error: "ours", ...hold });
});

test("an alert is one, although another host has raised it too, and a notice that was sent stays sent", async () => {
  const place = await spools.newPlace();
  await using catalog = await spools.open(place);
  await using other = await spools.openDirectly(place);
  spools.relay.cut();
  const [ours, theirs] = [alertRecord({}), alertRecord({})];
  const notice = deliveryRecord({ alert_id: ours.id });
  await catalog.changeAlert(ours.key, () => ({ alert: ours, deliveries: [notice] }));
  expect(await catalog.claimDelivery(notice.id, "2026-01-01T00:00:00.000Z", "2026-01-01T00:01:00.000Z")).toBe(
    true,
  );
  await catalog.updateDelivery(notice.id, { state: "DELIVERED" });
  await other.changeAlert(theirs.key, () => ({ alert: theirs, deliveries: [] }));
  spools.relay.pass();
  await spools.untilBack(catalog);
  expect(await other.alerts({ open: true })).toMatchObject([{ id: theirs.id, count: 2 }]);
  expect(await other.deliveries({})).toMatchObject([{ alert_id: theirs.id, state: "DELIVERED" }]);
});
