import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { MINUTE_MS } from "../../src/base/limits.ts";
import type { AlertRecord } from "../../src/catalog/records.ts";
import { NOT_READ, READ } from "../../src/catalog/spool/knowledge.ts";
import { unreachableSince } from "../../src/catalog/spool/reachable.ts";
import { REACHABLE } from "../fixtures/catalog-status.ts";
import { eventually } from "../lab/machine/running.ts";
import { isUnreachable, type SpoolPlace, useSpools } from "../lab/servers/use-spools.ts";
import { hostRecord } from "../suites/catalog/hosts.ts";
import { alertRecord, backupRecord, copyRecord, ELSEWHERE, tombstoneOf } from "../suites/catalog/records.ts";
import { restoreTest } from "../suites/catalog/restore-tests.ts";

/** What a host does while its catalog is unreachable, and when it is back. */

const LATER = "2026-01-03T00:00:00.000Z";

const spools = useSpools();

test("while the catalog is unreachable records are kept here, and delivered in their order when it is back", async () => {
  const place = await spools.newPlace();
  await using catalog = await spools.open(place);
  await catalog.belongTo("installation");
  const before = backupRecord({ status: "VERIFIED" });
  await catalog.insertBackup(before);
  spools.relay.cut();
  const backup = backupRecord({ started_at: "2026-01-02T00:00:00.000Z" });
  await catalog.insertBackup(backup);
  expect(catalog.spool?.status()).toMatchObject({ unreachable_since: expect.any(String), waiting: 1 });
  await catalog.putCopy(copyRecord(backup));
  await catalog.updateCopy(backup.id, "local", { state: "CONFIRMED", object_bytes: 7 });
  await catalog.updateBackup(backup.id, { status: "VERIFIED" });
  expect((await catalog.backups({})).map(({ id }) => id)).toEqual([backup.id, before.id]);
  expect(await catalog.installation()).toBe("installation");
  expect((await catalog.newestGood("main", "app", new Date()))?.id).toBe(backup.id);
  expect(catalog.spool?.status().waiting).toBe(4);
  spools.relay.pass();
  await spools.untilBack(catalog);
  await using other = await spools.openDirectly(place);
  expect(await other.backup(backup.id)).toEqual({ ...backup, status: "VERIFIED" });
  expect(await other.copies(backup.id)).toEqual([
    copyRecord(backup, { state: "CONFIRMED", object_bytes: 7 }),
  ]);
  expect(await other.overview.copyTotals(new Date())).toMatchObject([{ copies: 1, bytes: 7 }]);
});

test("a server that accepts connections and says nothing is unreachable as well, without a long wait", async () => {
  const place = await spools.newPlace();
  await using catalog = await spools.open({ ...place, url: `${place.url}&connect_timeout=1` });
  spools.relay.stall();
  const backup = backupRecord();
  await catalog.insertBackup(backup);
  expect(isUnreachable(catalog)).toBe(true);
  spools.relay.pass();
  await spools.untilBack(catalog);
  await using other = await spools.openDirectly(place);
  expect(await other.backup(backup.id)).toEqual(backup);
});

test("a host starts while its catalog is unreachable, if it has used it before, and delivers what an earlier process left", async () => {
  const place = await spools.newPlace();
  const first = backupRecord({ status: "VERIFIED" });
  let since: string | null | undefined;
  {
    await using catalog = await spools.open(place);
    await catalog.belongTo("installation");
    await catalog.insertBackup(first);
    spools.relay.cut();
    await catalog.overview.seeSchedule("backup", "0 * * * *", "2026-01-01T00:00:00.000Z");
    since = catalog.spool?.status().unreachable_since;
  }
  const backup = backupRecord({ started_at: "2026-01-02T00:00:00.000Z" });
  {
    await using catalog = await spools.open(place);
    // Since the process before this one lost it.
    expect(catalog.spool?.status()).toMatchObject({ unreachable_since: since, waiting: 1 });
    await catalog.insertBackup(backup);
    expect((await catalog.backups({})).map(({ id }) => id)).toEqual([backup.id, first.id]);
  }
  const fresh = spools.open({ ...place, path: `${place.path}.other` });
  await expect(fresh).rejects.toMatchObject({ code: "storage" });
  spools.relay.pass();
  await using catalog = await spools.open(place);
  expect(catalog.spool?.status()).toEqual(REACHABLE);
  await using other = await spools.openDirectly(place);
  expect(await other.backup(backup.id)).toEqual(backup);
  spools.relay.cut();
  await catalog.backups({});
  // The next outage begins anew.
  expect(String(catalog.spool?.status().unreachable_since) > String(since)).toBe(true);
  spools.relay.pass();
});

test("in an outage no database is without its restore test, however many others were tested since", async () => {
  const place = await spools.newPlace();
  const of = (database: string, outcome: "PASSED" | "FAILED" = "PASSED") =>
    restoreTest({ server: "main", database, outcome, ...(database === "often" && { finished_at: LATER }) });
  const tests = [of("rare"), of("rare", "FAILED"), ...Array.from({ length: 201 }, () => of("often"))];
  {
    await using direct = await spools.openDirectly(place);
    await direct.overview.seeDatabases("main", ["rare", "often"], "2026-01-01T00:00:00.000Z");
    for (const test of tests) await direct.restoreTests.add(test);
  }
  await using catalog = await spools.open(place);
  spools.relay.cut();
  const rare = (await catalog.restoreTests.standings()).find(({ database }) => database === "rare");
  expect(isUnreachable(catalog)).toBe(true);
  expect(rare).toMatchObject({ latest: tests[1], passed: tests[0] });
  spools.relay.pass();
});

test("a host that looked into the catalog before another one began it works in an outage", async () => {
  const place = await spools.newPlace();
  await (await spools.open(place))[Symbol.asyncDispose]();
  {
    await using other = await spools.openDirectly(place);
    await other.belongTo("one");
  }
  await (await spools.open(place))[Symbol.asyncDispose]();
  spools.relay.cut();
  await using catalog = await spools.open(place);
  expect(await catalog.installation()).toBe("one");
  spools.relay.pass();
});

test("nothing is removed and no cleanup begins while the catalog is unreachable", async () => {
  const place = await spools.newPlace();
  await using catalog = await spools.open(place);
  const backup = backupRecord({ status: "VERIFIED" });
  await catalog.insertBackup(backup);
  await catalog.putCopy(copyRecord(backup, { state: "CONFIRMED" }));
  spools.relay.cut();
  const at = new Date().toISOString();
  const lease = (name: string) => ({
    name,
    run_id: crypto.randomUUID(),
    ...ELSEWHERE,
    acquired_at: at,
    expires_at: "9999-01-01T00:00:00.000Z",
  });
  const refused = { code: "storage", hint: expect.stringContaining("backups go on") };
  await expect(catalog.acquireLease(lease("cleanup"), at, () => "unseen")).rejects.toMatchObject(refused);
  await expect(catalog.updateCopy(backup.id, "local", { state: "DELETING" })).rejects.toMatchObject(refused);
  const removing: (() => Promise<unknown>)[] = [
    () => catalog.retained(),
    () => Array.fromAsync(catalog.placedCopies(["CONFIRMED"])),
    () => Array.fromAsync(catalog.backupsWithoutCopies()),
    () => catalog.copyStates("local", [backup.object_key]),
    () => catalog.removeBackup(tombstoneOf(backup)),
    () => catalog.identities.rename([{ from: "local", to: "other" }]),
    () => catalog.hosts.forget("other", at),
    () => catalog.pruneHistory(at),
    () => catalog.pruneTombstones(at),
    () => catalog.restoreTests.prune(at),
  ];
  for (const call of removing) await expect(call()).rejects.toMatchObject(refused);
  expect(await catalog.acquireLease(lease("main/app"), at, () => "unseen")).toBeUndefined();
  expect(catalog.spool?.status().waiting).toBe(0);
  spools.relay.pass();
});

test("a record that the catalog refuses stays in the spool with the reason, and those after it are delivered", async () => {
  const place = await spools.newPlace();
  await using catalog = await spools.open(place);
  spools.relay.cut();
  await catalog.updateBackup("no such backup", { error: "x" });
  const backup = backupRecord();
  await catalog.insertBackup(backup);
  spools.relay.pass();
  await spools.untilBack(catalog);
  await using other = await spools.openDirectly(place);
  expect(await other.backup(backup.id)).toEqual(backup);
  using database = new Database(place.path, { readonly: true });
  expect(database.query("SELECT number, error FROM refused").all()).toEqual([
    { number: 1, error: expect.stringContaining("no record of no such backup") },
  ]);
  expect(catalog.spool?.status()).toMatchObject({
    refused: 1,
    refused_error: expect.stringContaining("no record of no such backup"),
  });
});

test("records of one installation are not delivered to another", async () => {
  const place = await spools.newPlace();
  {
    await using catalog = await spools.open(place);
    await catalog.belongTo("one");
    spools.relay.cut();
    await catalog.insertBackup(backupRecord());
  }
  spools.relay.pass();
  const elsewhere = await spools.newPlace({ isOther: true });
  {
    await using other = await spools.openDirectly(elsewhere);
    await other.belongTo("two");
  }
  await expect(spools.open({ ...elsewhere, path: place.path })).rejects.toMatchObject({
    code: "usage",
    message: expect.stringContaining("belongs to the installation two"),
  });
  await using catalog = await spools.open(place);
  expect(await catalog.countBackups({})).toBe(1);
});

/** Until the file of the spool has such a row. */
const untilKnown = ({ path }: SpoolPlace, sql: string) =>
  eventually(async () => {
    using file = new Database(path, { readonly: true });
    return file.query(sql).get() !== null;
  });

test("a host knows the others and the open alerts as of its last minute", async () => {
  const place = await spools.newPlace();
  await using catalog = await spools.open(place);
  await using other = await spools.openDirectly(place);
  const alert = (key: string) => alertRecord({ key });
  const [solved, acknowledged] = [alert("solved"), alert("acknowledged")];
  const change = (one: AlertRecord) => other.changeAlert(one.key, () => ({ alert: one, deliveries: [] }));
  await change(solved);
  await change(acknowledged);
  const known = async () => ({
    hosts: (await catalog.hosts.all()).map(({ host, version }) => `${host} ${version}`),
    alerts: (await catalog.alerts({ open: true })).map(({ key, acknowledged_at }) => [key, acknowledged_at]),
  });
  // What it has known as a whole is as old as its start.
  await other.hosts.put(hostRecord({ host: "here" }));
  await other.hosts.put(hostRecord({ host: "web2" }));
  spools.ahead(MINUTE_MS);
  await catalog.hosts.put(hostRecord({ host: "here" }));
  await untilKnown(place, "SELECT 1 FROM hosts WHERE host = 'web2'");

  await other.hosts.put(hostRecord({ host: "web2", version: "2.0.0" }));
  await other.hosts.put(hostRecord({ host: "web3" }));
  const at = new Date().toISOString();
  await change({ ...solved, resolved_at: at });
  await change({ ...acknowledged, acknowledged_at: at });
  await change(alert("new"));
  const before = await known();
  spools.ahead(MINUTE_MS);
  await catalog.hosts.put(hostRecord({ host: "here" }));
  await untilKnown(place, "SELECT 1 FROM hosts WHERE host = 'web3'");
  spools.relay.cut();
  expect(await known()).toEqual(before);
  expect(before.hosts).toEqual(["here 1.2.3", "web2 2.0.0", "web3 1.2.3"]);
  expect(before.alerts.map(([key]) => key).toSorted()).toEqual(["acknowledged", "new"]);
  const { unreachable_since, known_at } = catalog.spool?.status() ?? {};
  expect(Date.parse(String(unreachable_since)) - Date.parse(String(known_at))).toBeLessThan(MINUTE_MS);
  spools.relay.pass();
  await spools.untilBack(catalog);
  expect(catalog.spool?.status().known_at).toBeNull();
});

test("of every table it is decided whether a host remembers it", async () => {
  const place = await spools.newPlace();
  await using _catalog = await spools.open(place);
  using file = new Database(place.path, { readonly: true });
  const here = file.query<{ name: string }, []>("SELECT name FROM sqlite_master WHERE type = 'table'").all();
  const database = decodeURIComponent(new URL(place.direct).pathname.slice(1));
  const there = await spools.postgres.connect(database)<{ name: string }[]>`
    select tablename as name from pg_tables where schemaname = 'pg321'`;
  const both = there.map(({ name }) => name).filter((name) => here.some((one) => one.name === name));
  expect(both.toSorted()).toEqual([...READ.map(([table]) => table), ...NOT_READ].toSorted());
});

test("whether the catalog is reachable is known, whatever has become of the file of the spool", async () => {
  const place = await spools.newPlace();
  await using catalog = await spools.open(place);
  using file = new Database(place.path);
  const state = () => ({ since: unreachableSince(catalog), status: () => catalog.spool?.status() });
  file.run("ALTER TABLE journal RENAME TO lost");
  expect(state().status).toThrow("journal");
  expect(state().since).toBeUndefined();
  spools.relay.cut();
  await catalog.overview.databases();
  expect(state().since).toEqual(expect.any(String));
  file.run("ALTER TABLE lost RENAME TO journal");
  expect(state().status()).toMatchObject({ unreachable_since: state().since });
  spools.relay.pass();
  await spools.untilBack(catalog);
});
