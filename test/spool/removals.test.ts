import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { acknowledgeRefused, refusedName, refusedRecords } from "../../src/catalog/spool/refused.ts";
import { useSpools } from "../lab/servers/use-spools.ts";
import { backupRecord, copyRecord } from "../suites/catalog/records.ts";

/** What is delivered about objects and storages that another host has removed or registered meanwhile. */

const spools = useSpools();

for (const how of ["DELETED", "MISSING", "removed"] as const)
  test(`a backup that another host adopted and found or made ${how} does not count as good after the delivery`, async () => {
    const place = await spools.newPlace();
    await using catalog = await spools.open(place);
    await using other = await spools.openDirectly(place);
    spools.relay.cut();
    const backup = backupRecord();
    await catalog.insertBackup(backup);
    await catalog.putCopy(copyRecord(backup));
    await catalog.updateCopy(backup.id, "local", { state: "CONFIRMED", object_bytes: 7 });
    await catalog.updateBackup(backup.id, { status: "VERIFIED" });
    await other.insertBackup({ ...backup, status: "VERIFIED" });
    await other.putCopy(copyRecord(backup, { state: "CONFIRMED" }));
    await other.updateCopy(backup.id, "local", { state: how === "removed" ? "DELETED" : how });
    const { id: backup_id, server, database, kind, started_at, dump_bytes, object_bytes } = backup;
    const tombstone = { backup_id, server, database, kind, started_at, dump_bytes, object_bytes };
    if (how === "removed")
      await other.removeBackup({
        ...tombstone,
        was_good: true,
        removed_at: new Date().toISOString(),
        removed_by: "retention",
      });
    spools.relay.pass();
    await spools.untilBack(catalog);
    expect(await other.copies(backup.id)).toMatchObject([{ state: "INTENDED", confirmed_at: null }]);
    expect(await other.backup(backup.id)).toMatchObject({ status: "INTERRUPTED" });
    expect(await other.newestGood("main", "app", new Date())).toBeUndefined();
  });

test("a storage that another host has registered under the same name meanwhile keeps its identity", async () => {
  const place = await spools.newPlace();
  await using catalog = await spools.open(place);
  await using other = await spools.openDirectly(place);
  const at = new Date().toISOString();
  const [ours, theirs] = [crypto.randomUUID(), crypto.randomUUID()];
  spools.relay.cut();
  await catalog.identities.intend("s3", ours);
  await catalog.identities.confirm("s3", ours, at, null);
  await other.identities.intend("s3", theirs);
  await other.identities.confirm("s3", theirs, at, null);
  spools.relay.pass();
  await spools.untilBack(catalog);
  expect(await other.identities.all()).toMatchObject([{ name: "s3", storage_id: theirs }]);
  const refused = await refusedRecords(place.path, spools.clock);
  expect(refused).toMatchObject([{ error: expect.stringContaining(theirs), acknowledged_at: null }]);
  expect(refused.map(({ call }) => refusedName(call))).toEqual(["identities.confirm s3"]);
  expect(catalog.spool?.status()).toMatchObject({ refused: 1, refused_error: refused[0]?.error });
  const older = `${place.path}.older`;
  {
    using file = new Database(place.path, { readonly: true });
    file.run(`VACUUM INTO '${older}'`);
    using copy = new Database(older);
    copy.run("DROP TABLE acknowledged");
  }
  expect(await refusedRecords(older, spools.clock)).toEqual(refused);
  await acknowledgeRefused(place.path, [refused[0]?.number ?? 0], spools.clock);
  expect(catalog.spool?.status()).toMatchObject({ refused: 0, refused_error: null });
  expect(await refusedRecords(place.path, spools.clock)).toMatchObject([
    { acknowledged_at: expect.any(String), is_reported: false },
  ]);
});
