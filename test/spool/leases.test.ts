import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import type { Catalog } from "../../src/catalog/catalog.ts";
import type { LeaseHolder } from "../../src/catalog/records.ts";
import { eventually } from "../lab/machine/running.ts";
import { useSpools } from "../lab/servers/use-spools.ts";
import { backupRecord, copyRecord, ELSEWHERE } from "../suites/catalog/records.ts";

/** Leases that a run takes or renews in an outage, after the outage and after the end of the run. */

const spools = useSpools();
const MINUTE_MS = 60_000;

const at = (ms: number) => new Date(Date.now() + ms).toISOString();

const leaseOf = (name: string, run_id: string, change: Partial<LeaseHolder> = {}): LeaseHolder => ({
  ...{ name, run_id },
  ...ELSEWHERE,
  acquired_at: at(0),
  expires_at: at(MINUTE_MS),
  ...change,
});

const take = (catalog: Catalog, lease: LeaseHolder, now = at(0)) =>
  catalog.acquireLease(lease, now, () => "unseen");

test("the lease of a run that was killed in an outage is not renewed by the processes after it", async () => {
  const place = await spools.newPlace();
  {
    await using catalog = await spools.open(place);
    spools.relay.cut();
    const past = { acquired_at: at(-60 * MINUTE_MS), expires_at: at(-59 * MINUTE_MS) };
    expect(await take(catalog, leaseOf("main/app", "killed", past), past.acquired_at)).toBeUndefined();
    expect(await take(catalog, leaseOf("main/other", "killed too"))).toBeUndefined();
  }
  spools.relay.pass();
  await using other = await spools.openDirectly(place);
  await using catalog = await spools.open(place);
  expect(await other.leases()).toEqual([]);
  using file = new Database(place.path, { readonly: true });
  const carried = () => file.query("SELECT name FROM carried_leases").all();
  // Its end cannot be seen from here, and it has not expired.
  expect(carried()).toEqual([{ name: "main/other" }]);
  expect(await take(catalog, leaseOf("main/app", "next"))).toBeUndefined();
});

test.each([
  "whoever opens the spool after that",
  "also if it was carried back already, and the answer was lost",
])("a lease that another run had meanwhile stays lost, %s", async (how) => {
  const place = await spools.newPlace();
  await using catalog = await spools.open(place);
  await using other = await spools.openDirectly(place);
  const backup = backupRecord();
  await catalog.insertBackup(backup);
  await catalog.putCopy(copyRecord(backup));
  await take(catalog, leaseOf("main/app", "ours"));
  const fence = { name: "main/app", token: Number(await catalog.leaseToken("main/app", "ours")) };
  spools.relay.cut();
  expect(await catalog.renewLease("main/app", "ours", at(MINUTE_MS))).toBe(true);
  expect(await take(other, leaseOf("main/app", "theirs"), at(10 * MINUTE_MS))).toBeUndefined();
  await other.updateCopy(backup.id, "local", { state: "FAILED" });
  await other.updateBackup(backup.id, { status: "INTERRUPTED" });
  await other.releaseLease("main/app", "theirs");
  if (how.includes("carried")) expect(await take(other, leaseOf("main/app", "ours"))).toBeUndefined();
  spools.relay.pass();
  await spools.untilBack(catalog);
  {
    await using _second = await spools.open(place);
  }
  spools.relay.cut();
  expect(await catalog.renewLease("main/app", "ours", at(MINUTE_MS))).toBe(true);
  spools.relay.pass();
  await spools.untilBack(catalog);
  expect((await other.leases()).map(({ run_id }) => run_id)).toEqual(["ours"]);
  await catalog.updateCopy(backup.id, "local", { state: "CONFIRMED", object_bytes: 7 }, fence);
  expect(await other.copies(backup.id)).toMatchObject([{ state: "INTENDED" }]);
  const removal = catalog.updateCopy(backup.id, "local", { state: "DELETING" }, fence);
  await expect(removal).rejects.toMatchObject({ code: "storage" });
  await catalog.releaseLease("main/app", "ours");
});

test("a lease that another run has goes on in a second outage, also after the knowledge was renewed", async () => {
  const place = await spools.newPlace();
  await using catalog = await spools.open(place);
  await using other = await spools.openDirectly(place);
  await take(catalog, leaseOf("main/app", "ours"));
  spools.relay.cut();
  expect(await catalog.renewLease("main/app", "ours", at(MINUTE_MS))).toBe(true);
  expect(await take(other, leaseOf("main/app", "theirs"), at(10 * MINUTE_MS))).toBeUndefined();
  using file = new Database(place.path);
  file.run("UPDATE spool SET known_at = '2026-01-01T00:00:00.000Z'");
  spools.relay.pass();
  await spools.untilBack(catalog);
  await eventually(() => file.query("SELECT 1 FROM spool WHERE known_at > '2026-01-02'").get() !== null);
  const renewed = at(2 * MINUTE_MS);
  expect(await catalog.renewLease("main/app", "ours", renewed)).toBe(true);
  spools.relay.cut();
  expect(await catalog.leases()).toMatchObject([{ run_id: "ours", expires_at: renewed }]);
  expect(await catalog.renewLease("main/app", "ours", at(MINUTE_MS))).toBe(true);
  spools.relay.pass();
});

test("the lease of a cleanup is not renewed without the catalog", async () => {
  const place = await spools.newPlace();
  await using catalog = await spools.open(place);
  await using other = await spools.openDirectly(place);
  await take(catalog, leaseOf("cleanup of s3", "ours"));
  spools.relay.cut();
  const renewal = catalog.renewLease("cleanup of s3", "ours", at(MINUTE_MS));
  await expect(renewal).rejects.toMatchObject({ code: "storage", retryable: true });
  expect(await take(other, leaseOf("cleanup of s3", "theirs"), at(10 * MINUTE_MS))).toBeUndefined();
  spools.relay.pass();
  await spools.untilBack(catalog);
  expect(await catalog.renewLease("cleanup of s3", "ours", at(MINUTE_MS))).toBe(false);
});
