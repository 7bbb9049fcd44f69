import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { copyFile, rm } from "node:fs/promises";
import { createLog } from "../../src/base/log.ts";
import { Secret } from "../../src/base/secret.ts";
import { openCatalog } from "../../src/catalog/open.ts";
import type { BackupRecord } from "../../src/catalog/records.ts";
import { pruneCatalog } from "../../src/jobs/cleanup/prune-catalog.ts";
import { loadToml, MINIMAL } from "../fixtures/config-file.ts";
import { type SpoolPlace, useSpools } from "../lab/servers/use-spools.ts";
import { backupRecord, copyRecord, tombstoneOf } from "../suites/catalog/records.ts";

/** A host that was put back to an older state, with the file of its spool, and a catalog that was. */

const spools = useSpools();

const backUpInOutage = async (place: SpoolPlace, backups: readonly BackupRecord[]) => {
  await using catalog = await spools.open(place);
  spools.relay.cut();
  for (const backup of backups) await catalog.insertBackup(backup);
  spools.relay.pass();
  await spools.untilBack(catalog);
};

// The number of the last one is higher than that of the catalog, but the earlier ones count as delivered there.
for (const count of [1, 3])
  test(`all of what it then delivers is stored: ${count} after two before`, async () => {
    const place = await spools.newPlace();
    const backup = (day: number) => backupRecord({ started_at: `2026-01-0${day}T00:00:00.000Z` });
    {
      await using catalog = await spools.open(place);
      await catalog.belongTo("installation");
    }
    const older = `${place.path}.older`;
    await copyFile(place.path, older);
    const before = [backup(1), backup(2)];
    await backUpInOutage(place, before);
    for (const end of ["", "-wal", "-shm"]) await rm(place.path + end, { force: true });
    await copyFile(older, place.path);
    const after = [3, 4, 5].slice(0, count).map(backup);
    await backUpInOutage(place, after);
    await using other = await spools.openDirectly(place);
    const ids = (await other.backups({})).map(({ id }) => id);
    expect(ids.toSorted()).toEqual([...before, ...after].map(({ id }) => id).toSorted());
  });

test("also if it starts in the outage", async () => {
  const place = await spools.newPlace();
  {
    await using catalog = await spools.open(place);
    await catalog.belongTo("installation");
  }
  const older = `${place.path}.older`;
  await copyFile(place.path, older);
  await backUpInOutage(place, [backupRecord()]);
  for (const end of ["", "-wal", "-shm"]) await rm(place.path + end, { force: true });
  await copyFile(older, place.path);
  spools.relay.cut();
  const after = [backupRecord(), backupRecord()];
  {
    await using catalog = await spools.open(place);
    for (const backup of after) await catalog.insertBackup(backup);
  }
  spools.relay.pass();
  await using catalog = await spools.open(place);
  expect(catalog.spool?.status().waiting).toBe(0);
  expect(await catalog.countBackups({})).toBe(3);
});

test("what a fail-over has lost of this host's backups is recorded again, and nothing that was removed", async () => {
  const place = await spools.newPlace();
  const backup = (change: Partial<BackupRecord>) =>
    backupRecord({ host: "here", started_at: new Date().toISOString(), status: "VERIFIED", ...change });
  const [online, spooled, kept, removed] = [backup({}), backup({}), backup({}), backup({})];
  const foreign = backup({ host: "web2" });
  const running = backup({ status: "RUNNING" });
  const copyOf = (one: BackupRecord) => copyRecord(one, { state: "CONFIRMED", object_bytes: 7 });
  await using other = await spools.openDirectly(place);
  {
    await using catalog = await spools.open(place);
    await catalog.belongTo("installation");
    for (const one of [online, kept, removed, foreign, running]) await catalog.insertBackup(one);
    for (const one of [online, kept]) await catalog.putCopy(copyOf(one));
    spools.relay.cut();
    await catalog.insertBackup(spooled);
    await catalog.putCopy(copyOf(spooled));
    spools.relay.pass();
    await spools.untilBack(catalog);
    await other.removeBackup(tombstoneOf(removed));
    // Changes of the next outage are about a backup that is lost meanwhile.
    spools.relay.cut();
    await catalog.updateBackup(running.id, { status: "VERIFIED" });
  }
  const sql = spools.postgres.connect(decodeURIComponent(new URL(place.direct).pathname.slice(1)));
  const lost = [online, spooled, foreign, running].map(({ id }) => id);
  await sql`DELETE FROM pg321.copies WHERE backup_id = ANY(${lost})`;
  await sql`DELETE FROM pg321.backups WHERE id = ANY(${lost})`;
  await sql`UPDATE pg321.spools SET delivered = 0`;
  spools.relay.pass();
  {
    await using catalog = await spools.open(place);
    expect(catalog.spool?.status().waiting).toBe(0);
  }
  const found = await other.backups({});
  expect(found.map(({ id }) => id).toSorted()).toEqual(
    [online, spooled, kept, running].map(({ id }) => id).toSorted(),
  );
  expect(found.map(({ status }) => status)).toEqual(Array(4).fill("VERIFIED"));
  for (const one of [online, spooled, kept]) expect(await other.copies(one.id)).toEqual([copyOf(one)]);
  using file = new Database(place.path, { readonly: true });
  expect(file.query("SELECT * FROM refused").all()).toEqual([]);
});

test("what another host has removed is not recorded again, though the config wants no history", async () => {
  const place = await spools.newPlace();
  const now = new Date().toISOString();
  const removed = backupRecord({ host: "here", started_at: now, status: "VERIFIED" });
  {
    await using catalog = await spools.open(place);
    await catalog.belongTo("installation");
    await catalog.insertBackup(removed);
  }
  await using other = await spools.openDirectly(place);
  await other.removeBackup(tombstoneOf(removed, { removed_at: now }));
  spools.ahead(1_000);
  const config = await loadToml(`${MINIMAL}[cleanup]\ntombstones = 0\n`);
  const { clock } = spools;
  const { signal } = new AbortController();
  await pruneCatalog({ catalog: other, clock, config, host: "web2", signal });
  await using catalog = await spools.open(place);
  expect(await catalog.backup(removed.id)).toBeUndefined();
});

test("a catalog that lacks what was delivered, as after a fail-over, is named once in the log", async () => {
  const place = await spools.newPlace();
  {
    await using catalog = await spools.open(place);
    await catalog.belongTo("installation");
  }
  await backUpInOutage(place, [backupRecord(), backupRecord()]);
  const name = decodeURIComponent(new URL(place.direct).pathname.slice(1));
  const sql = spools.postgres.connect(name);
  await sql.unsafe("DELETE FROM pg321.backups; UPDATE pg321.spools SET delivered = 0");
  const lines: string[] = [];
  const log = createLog({ format: "text", level: "error", write: (line) => void lines.push(line) });
  for (let times = 0; times < 2; times++) {
    const spool = { path: place.path, host: "here", servers: ["main"] };
    const config = { type: "postgres", url: new Secret(place.url) } as const;
    await using _catalog = await openCatalog(config, { clock: spools.clock, log, spool });
  }
  expect(lines).toEqual([expect.stringContaining("lacks=2")]);
});
