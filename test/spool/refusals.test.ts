import { expect, test } from "bun:test";
import { Secret } from "../../src/base/secret.ts";
import { examineCatalog } from "../../src/catalog/open.ts";
import { eventually } from "../lab/machine/running.ts";
import { connectTo, disposable } from "../lab/servers/postgres.ts";
import { isUnreachable, type SpoolPlace, useSpools } from "../lab/servers/use-spools.ts";
import { hostRecord } from "../suites/catalog/hosts.ts";
import { backupRecord, runRecord } from "../suites/catalog/records.ts";

/** Outages in which the server answers, but has no catalog for this host. */

const spools = useSpools();

const nameOf = ({ direct }: SpoolPlace) => decodeURIComponent(new URL(direct).pathname.slice(1));

test("a server that refuses the session is an outage, with its reason, also when a host starts", async () => {
  const place = await spools.newPlace({ isOther: true });
  await using admin = disposable(connectTo(spools.postgres.address, "postgres"));
  const name = nameOf(place);
  const end = () =>
    admin.sql.unsafe(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${name}'`);
  const [one, two] = [backupRecord(), backupRecord({ started_at: "2026-01-02T00:00:00.000Z" })];
  await using catalog = await spools.open(place);
  await admin.sql.unsafe(`ALTER DATABASE "${name}" ALLOW_CONNECTIONS false`);
  await end();
  await catalog.insertBackup(one);
  expect(catalog.spool?.status()).toMatchObject({
    reason: expect.stringContaining("not currently accepting connections"),
    waiting: 1,
  });
  await admin.sql.unsafe(`ALTER DATABASE "${name}" RENAME TO "${name}_away"`);
  {
    await using started = await spools.open(place);
    expect(started.spool?.status().reason).toContain("the database does not exist");
    await started.insertBackup(two);
  }
  const fresh = spools.open({ ...place, path: `${place.path}.other` });
  await expect(fresh).rejects.toMatchObject({ message: expect.stringContaining("does not exist") });
  await admin.sql.unsafe(`ALTER DATABASE "${name}_away" RENAME TO "${name}"`);
  await admin.sql.unsafe(`ALTER DATABASE "${name}" ALLOW_CONNECTIONS true`);
  await spools.untilBack(catalog);
  await using other = await spools.openDirectly(place);
  expect((await other.backups({})).map(({ id }) => id)).toEqual([two.id, one.id]);
});

test("an empty database is not made a catalog if the host knows one: it may be about to be restored", async () => {
  const place = await spools.newPlace({ isOther: true });
  await using catalog = await spools.open(place);
  await catalog.belongTo("installation");
  spools.relay.cut();
  await catalog.leases();
  await using admin = disposable(connectTo(spools.postgres.address, nameOf(place)));
  await admin.sql.unsafe("ALTER SCHEMA pg321 RENAME TO away");
  spools.relay.pass();
  await using started = await spools.open(place);
  expect(started.spool?.status().reason).toContain("it is empty");
  await started.insertBackup(backupRecord());
  expect(isUnreachable(catalog)).toBe(true);
  expect(await admin.sql.unsafe("SELECT 1 FROM pg_namespace WHERE nspname = 'pg321'")).toHaveLength(0);
  await admin.sql.unsafe("ALTER SCHEMA away RENAME TO pg321");
  await spools.untilBack(started);
  expect(await started.countBackups({})).toBe(1);
});

test("a schema that somebody removes under a live session is an outage, and without a spool an error that says what to do", async () => {
  const place = await spools.newPlace({ isOther: true });
  await using catalog = await spools.open(place);
  await using direct = await spools.openDirectly(place);
  await catalog.belongTo("installation");
  await using admin = disposable(connectTo(spools.postgres.address, nameOf(place)));
  await admin.sql.unsafe("ALTER SCHEMA pg321 RENAME TO away");
  await catalog.insertBackup(backupRecord());
  expect(catalog.spool?.status()).toMatchObject({
    reason: expect.stringContaining("the schema pg321, or a table of it, is missing"),
    waiting: 1,
  });
  const readings = [
    () => direct.backups({}),
    () => direct.retained().then((snapshot) => Array.fromAsync(snapshot.backups())),
    () => direct.belongTo("other"),
  ];
  for (const read of readings)
    await expect(read()).rejects.toMatchObject({
      code: "storage",
      message: expect.stringMatching(
        /^catalog postgres:.*: cannot .*: the schema pg321, or a table of it, is missing$/,
      ),
      hint: expect.stringContaining(`from the database ${nameOf(place)}`),
    });
  await admin.sql.unsafe("ALTER SCHEMA away RENAME TO pg321");
  await spools.untilBack(catalog);
  expect(await direct.countBackups({})).toBe(1);
});

test("rights that the role lacks are an outage, also for an upgrade; a host that knows no catalog gets the statements", async () => {
  const place = await spools.newPlace({ isOther: true });
  await using direct = await spools.openDirectly(place);
  const name = nameOf(place);
  const role = `granted_${crypto.randomUUID().slice(0, 8)}`;
  await using admin = disposable(connectTo(spools.postgres.address, name));
  const tables = `SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pg321`;
  await admin.sql.unsafe(`CREATE ROLE ${role} LOGIN PASSWORD 'secret'; GRANT USAGE ON SCHEMA pg321 TO ${role};
    GRANT ${tables} TO ${role}; GRANT USAGE ON SEQUENCE pg321.lease_tokens TO ${role}`);
  const granted = { ...place, url: place.url.replace(/\/\/[^@]*@/, `//${role}:secret@`) };
  const { clock } = spools;
  const examine = () =>
    examineCatalog({ type: "postgres", url: new Secret(granted.url) }, { clock, host: "here" });
  const fresh = () => spools.open({ ...granted, path: `${place.path}.other` });
  try {
    await using catalog = await spools.open(granted);
    await catalog.belongTo("installation");
    await admin.sql.unsafe(`REVOKE INSERT ON pg321.backups FROM ${role}`);
    await catalog.insertBackup(backupRecord());
    await catalog.insertRun(runRecord({}));
    const reason = "cannot deliver a record of the spool: permission denied for table backups";
    await eventually(async () => {
      spools.ahead();
      await catalog.leases();
      return catalog.spool?.status().reason?.includes(reason) === true;
    });
    expect(catalog.spool?.status()).toMatchObject({ waiting: 2, refused: 0 });
    await expect(examine()).rejects.toThrow("cannot work with it: permission denied for backups");
    await admin.sql.unsafe(`REVOKE ${tables} FROM ${role}`);
    await expect(fresh()).rejects.toMatchObject({
      ...{ code: "storage", message: expect.stringContaining("permission denied for table schema_version") },
      hint: expect.stringContaining(
        `in the database ${name}: GRANT USAGE ON SCHEMA pg321 TO ${role}; GRANT ${tables}`,
      ),
    });
    await admin.sql.unsafe(`GRANT ${tables} TO ${role}`);
    await spools.untilBack(catalog);
    expect(await direct.countBackups({})).toBe(1);

    // No record waits for this right: the catalog answers, and is still not to be used.
    await admin.sql.unsafe(`REVOKE UPDATE ON pg321.hosts FROM ${role}`);
    await catalog.hosts.put(hostRecord({ host: "here" }));
    const { since } = catalog.spool?.outage() ?? {};
    expect(since).toBeDefined();
    await eventually(async () => {
      spools.ahead();
      await catalog.leases();
      return (
        catalog.spool?.outage()?.reason.includes("cannot work with it: permission denied for hosts") === true
      );
    });
    expect(catalog.spool?.outage()?.since).toBe(since);
    await admin.sql.unsafe(`GRANT UPDATE ON pg321.hosts TO ${role}`);
    await spools.untilBack(catalog);
    expect(await examine()).toMatchObject({ installation: "installation" });
    await admin.sql.unsafe("UPDATE pg321.schema_version SET version = version - 1");
    await expect(examine()).rejects.toThrow(
      "cannot bring the schema to the newest version: permission denied",
    );
    // No writer waits for a role that may not upgrade, and it waits for none.
    await using started = await admin.sql.begin(async (writer) => {
      await writer`LOCK TABLE pg321.backups IN ROW EXCLUSIVE MODE`;
      return await spools.open(granted);
    });
    // The words are PostgreSQL's, about the first statement of the newest step.
    expect(started.spool?.status().reason).toMatch(
      /bring the schema to the newest version: (permission denied|must be owner of table)/,
    );
    await expect(fresh()).rejects.toMatchObject({
      hint: expect.stringContaining("run pg321 list with a config"),
    });
    await admin.sql.unsafe("UPDATE pg321.schema_version SET version = version + 1");
    await spools.untilBack(started);
  } finally {
    await admin.sql.unsafe(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  }
});

test("a server without memory, or with a failing disk, is an outage: no record is set aside for it", async () => {
  const place = await spools.newPlace({ isOther: true });
  await using catalog = await spools.open(place);
  await using admin = disposable(connectTo(spools.postgres.address, nameOf(place)));
  for (const [code, reason] of [
    ["53200", "the server is out of memory"],
    ["58030", "the server cannot read or write its files"],
  ]) {
    await admin.sql.unsafe(`CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN RAISE EXCEPTION USING ERRCODE = ''${code}''; END';
      CREATE TRIGGER failing BEFORE INSERT ON pg321.backups FOR EACH ROW EXECUTE FUNCTION fail()`);
    await catalog.insertBackup(backupRecord());
    await eventually(async () => {
      spools.ahead();
      await catalog.leases();
      return catalog.spool?.status().reason?.includes(`deliver a record of the spool: ${reason}`) === true;
    });
    expect(catalog.spool?.status()).toMatchObject({ waiting: 1, refused: 0 });
    await admin.sql.unsafe("DROP FUNCTION fail CASCADE");
    await spools.untilBack(catalog);
  }
  expect(await catalog.countBackups({})).toBe(2);
});
