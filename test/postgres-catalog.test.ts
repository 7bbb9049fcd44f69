import { afterAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Sql } from "postgres";
import { systemClock } from "../src/base/clock.ts";
import { Secret } from "../src/base/secret.ts";
import type { Catalog } from "../src/catalog/catalog.ts";
import { openCatalog } from "../src/catalog/open.ts";
import { migrate } from "../src/catalog/postgres/migration/migrate.ts";
import { MIGRATIONS } from "../src/catalog/postgres/migration/migrations.ts";
import { Transactions } from "../src/catalog/postgres/transactions.ts";
import { parseCatalogUrl } from "../src/config/catalog-url.ts";
import { planRun } from "../src/jobs/cleanup/plan.ts";
import { endpointLab } from "./lab/endpoint.ts";
import { eventually } from "./lab/machine/running.ts";
import { startPgbouncer } from "./lab/servers/pgbouncer.ts";
import { connectTo, disposable, PRIMARY_SETTINGS, startPostgres } from "./lab/servers/postgres.ts";
import { usePostgres } from "./lab/servers/use-postgres.ts";
import { alertRecord, backupRecord, copyRecord, ELSEWHERE } from "./suites/catalog/records.ts";

const postgres = usePostgres();
const directories: string[] = [];
afterAll(async () => {
  for (const directory of directories) await rm(directory, { recursive: true });
});

const open = (url: string) => openCatalog({ type: "postgres", url: new Secret(url) }, { clock: systemClock });
const newUrl = async () => postgres.url(await postgres.createDatabase());
const errorOf = (call: Promise<unknown>) => call.then(() => undefined).catch((error) => error);

/** Opens several at once, as so many daemons. */
async function openMany(url: string, count: number): Promise<Catalog[]> {
  return Promise.all(Array.from({ length: count }, () => open(url)));
}

async function closeAll(catalogs: readonly Catalog[]): Promise<void> {
  for (const catalog of catalogs) await catalog[Symbol.asyncDispose]();
}

async function onDatabase<T>(url: string, work: (sql: Sql) => Promise<T>): Promise<T> {
  await using admin = disposable(
    connectTo(postgres.address, decodeURIComponent(new URL(url).pathname.slice(1))),
  );
  return await work(admin.sql);
}

test("ten daemons of two versions that start at once make one schema, and the older ones refuse it", async () => {
  const url = await newUrl();
  const newer = [...MIGRATIONS, "CREATE TABLE later (id bigint)", "ALTER TABLE later ADD COLUMN name text"];
  const started = await Promise.all(
    Array.from({ length: 10 }, async (_, index) => {
      const parsed = parseCatalogUrl(url);
      if (!parsed) throw new Error();
      await using transactions = new Transactions(parsed, systemClock);
      const migrations = index % 2 === 0 ? newer : MIGRATIONS;
      return errorOf(migrate(transactions, { migrations }));
    }),
  );
  expect(started.filter((_, index) => index % 2 === 0)).toEqual(Array(5).fill(undefined));
  const [version] = await onDatabase(url, (sql) => sql`select version from pg321.schema_version`);
  expect(version).toEqual({ version: newer.length });
  const error = await errorOf(open(url));
  expect(error).toMatchObject({ code: "usage", exitCode: 2 });
  expect(error.message).toEndWith(
    `: written by a newer pg321 (version ${newer.length}, this program knows ${MIGRATIONS.length})`,
  );
  expect(error.message).not.toContain(postgres.address.password);
});

test("a role that owns only the schema is enough; without it the error says which right is missing", async () => {
  const url = await newUrl();
  const role = `least_${crypto.randomUUID().slice(0, 8)}`;
  const mine = url.replace(/\/\/[^@]*@/, `//${role}:secret@`);
  await onDatabase(url, (sql) => sql.unsafe(`create role ${role} login password 'secret'`));
  expect(await errorOf(open(mine))).toMatchObject({
    code: "storage",
    hint: expect.stringContaining(`CREATE SCHEMA pg321 AUTHORIZATION ${role}`),
  });
  await onDatabase(url, (sql) => sql.unsafe(`create schema pg321 authorization ${role}`));
  {
    await using catalog = await open(mine);
    expect(await catalog.belongTo("here")).toBe("here");
  }
  await onDatabase(url, (sql) => sql.unsafe(`drop owned by ${role}; drop role ${role}`));
});

test("a schema of another program and a database of another encoding are refused and stay as they are", async () => {
  const url = await newUrl();
  await onDatabase(url, (sql) => sql.unsafe("create schema pg321; create table pg321.backups (id int)"));
  expect(await errorOf(open(url))).toMatchObject({ code: "usage" });
  const [found] = await onDatabase(
    url,
    (sql) => sql`
    select count(*)::int as tables from pg_tables where schemaname = 'pg321'`,
  );
  expect(found).toEqual({ tables: 1 });
  const latin = postgres.newName("latin");
  await onDatabase(url, (sql) =>
    sql.unsafe(`create database ${latin} template template0 encoding 'LATIN1' locale 'C'`),
  );
  const error = await errorOf(open(postgres.url(latin)));
  expect(error).toMatchObject({ code: "usage", hint: expect.stringContaining("ENCODING 'UTF8'") });
});

test("of many daemons one gets a lease, one opens an alert, and the sums of all their copies are right", async () => {
  const url = await newUrl();
  const daemons = await openMany(url, 5);
  const now = new Date().toISOString();
  const lease = () => ({
    name: "main/app",
    run_id: crypto.randomUUID(),
    ...ELSEWHERE,
    acquired_at: now,
    expires_at: "9999-01-01T00:00:00.000Z",
  });
  const taken = await Promise.all(daemons.map((daemon) => daemon.acquireLease(lease(), now, () => "unseen")));
  expect(taken.filter((holder) => holder === undefined)).toHaveLength(1);
  await Promise.all(
    daemons.map((daemon) =>
      daemon.changeAlert("disk full", (known) => ({
        alert: known ? { ...known, count: known.count + 1 } : alertRecord({ key: "disk full" }),
        deliveries: [],
      })),
    ),
  );
  const [first] = daemons as [Catalog];
  expect((await first.alerts({ open: true })).map(({ count }) => count)).toEqual([5]);
  await Promise.all(
    daemons.map(async (daemon) => {
      for (let day = 1; day <= 6; day++) {
        const backup = backupRecord({ status: "VERIFIED", started_at: `2026-01-0${day}T00:00:00.000Z` });
        await daemon.insertBackup(backup);
        for (const storage of day % 2 === 0 ? ["a", "b"] : ["b", "a"])
          await daemon.putCopy(copyRecord(backup, { storage, state: "CONFIRMED", object_bytes: day }));
        if (day === 6) await daemon.updateCopy(backup.id, "a", { state: "MISSING" });
      }
    }),
  );
  const totals = await first.overview.copyTotals(new Date());
  expect(
    totals.map(({ storage, copies, bytes, newest_started_at }) => [
      storage,
      copies,
      bytes,
      newest_started_at,
    ]),
  ).toEqual([
    ["a", 25, 75, "2026-01-05T00:00:00.000Z"],
    ["b", 30, 105, "2026-01-06T00:00:00.000Z"],
  ]);
  await closeAll(daemons);
});

test("a session that the server ended is replaced, and a transaction that was under way is made again as a whole", async () => {
  const url = await newUrl();
  await using catalog = await open(url);
  const end = () =>
    onDatabase(
      url,
      (sql) => sql`
      select pg_terminate_backend(pid) from pg_stat_activity
      where application_name = 'pg321 catalog' and datname = current_database()`,
    );
  await end();
  const backup = backupRecord();
  await catalog.insertBackup(backup);
  expect(await catalog.backup(backup.id)).toEqual(backup);
  // Two calls at once: the second waits for its turn in a session that is gone by then.
  await Promise.all([
    catalog.putCopy(copyRecord(backup)),
    end(),
    catalog.updateBackup(backup.id, { error: "x" }),
  ]);
  expect(await catalog.copies(backup.id)).toEqual([copyRecord(backup)]);
  expect((await catalog.backup(backup.id))?.error).toBe("x");
});

test("nothing is set in the session: each transaction begins with the server's settings", async () => {
  const url = await newUrl();
  await using catalog = await open(url);
  await catalog.leases();
  const [{ waiting } = { waiting: undefined }] = await onDatabase(
    url,
    (sql) => sql<{ waiting: boolean }[]>`
    select bool_and(state = 'idle') as waiting from pg_stat_activity
    where application_name = 'pg321 catalog' and datname = current_database()`,
  );
  expect(waiting).toBe(true);
  const [{ locks } = { locks: undefined }] = await onDatabase(
    url,
    (sql) => sql<{ locks: number }[]>`
    select count(*)::int as locks from pg_locks where locktype = 'advisory'
      and database = (select oid from pg_database where datname = current_database())`,
  );
  expect(locks).toBe(0);
});

test("a wrong password, an unknown database and a server that does not run are named without the password", async () => {
  const url = await newUrl();
  const { password } = postgres.address;
  const cases = [
    [url.replace(password, "wrong"), "the server refuses the password", "correct user and password"],
    [
      url.replace(/\/[^/]*$/, "/No.where"),
      "the database does not exist",
      `CREATE DATABASE "No.where" OWNER ${postgres.address.user}`,
    ],
    [url.replace(/:\d+\//, ":1/"), "unreachable: ", "check that the server runs"],
  ] as const;
  for (const [wrong, message, hint] of cases) {
    const error = await errorOf(open(wrong));
    expect(error).toMatchObject({ code: "storage", hint: expect.stringContaining(hint) });
    expect(error.message).toContain(message);
    expect(error.message).toMatch(/^catalog postgres:\/\/127\.0\.0\.1:\S+: cannot /);
    expect(`${error.message} ${error.hint}`).not.toContain(password);
  }
});

test("the connection is encrypted, and the certificate is checked if the URL asks for it", async () => {
  const directory = await mkdtemp(join(tmpdir(), "pg321-catalog-tls-"));
  directories.push(directory);
  const [key, certificate] = [join(directory, "server.key"), join(directory, "server.crt")];
  const command = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"];
  expect(
    Bun.spawnSync(["openssl", ...command, ...subject, "-keyout", key, "-out", certificate]).success,
  ).toBe(true);
  const files = {
    "server.key": await Bun.file(key).text(),
    "server.crt": await Bun.file(certificate).text(),
  };
  await using server = await startPostgres({ settings: ["ssl = on"], files });
  const { user, password, port } = server.address;
  const at = (host: string, query: string) =>
    `postgres://${user}:${password}@${host}:${port}/postgres?${query}`;
  const authority = `sslmode=verify-full&sslrootcert=${certificate}`;
  {
    await using catalog = await open(at("localhost", authority));
    expect(await catalog.installation()).toBeUndefined();
    await using admin = disposable(connectTo(server.address, "postgres"));
    const [session] = await admin.sql`
      select ssl from pg_stat_ssl join pg_stat_activity using (pid) where application_name = 'pg321 catalog'`;
    expect(session).toEqual({ ssl: true });
  }
  for (const refused of [at("127.0.0.1", authority), at("localhost", "sslmode=verify-full")])
    expect(await errorOf(open(refused))).toMatchObject({ code: "storage", hint: expect.any(String) });
});

test("after a fail-over the catalog goes on at the other server of the URL", async () => {
  await using primary = await startPostgres({ settings: PRIMARY_SETTINGS });
  await using standby = await startPostgres({ standbyOf: primary.address });
  const { user, password } = primary.address;
  const hosts = [standby, primary].map(({ address }) => `127.0.0.1:${address.port}`).join(",");
  const url = `postgres://${user}:${password}@${hosts}/postgres?target_session_attrs=read-write`;
  await using catalog = await open(url);
  // With short pauses: it gives up before the fail-over, and must not wait to look again.
  let aheadMs = 0;
  const clock = {
    ...systemClock,
    monotonicMs: () => systemClock.monotonicMs() + aheadMs,
    sleep: (ms: number, signal?: AbortSignal) => systemClock.sleep(ms / 50, signal),
  };
  const path = join(await mkdtemp(join(tmpdir(), "pg321-fail-over-")), "spool.db");
  directories.push(dirname(path));
  await using spooled = await openCatalog(
    { type: "postgres", url: new Secret(url) },
    { clock, spool: { path, host: "here", servers: ["main"] } },
  );
  const backup = backupRecord();
  await catalog.insertBackup(backup);
  await using onStandby = disposable(connectTo(standby.address, "postgres"));
  for (;;) {
    const [row] = await onStandby.sql`select to_regclass('pg321.backups') is not null as is_there`;
    const found = row?.["is_there"] ? await onStandby.sql`select id from pg321.backups` : [];
    if (found.length === 1) break;
    await Bun.sleep(20);
  }
  await primary.stop();
  // There is only a standby now, which can be read.
  const meanwhile = backupRecord();
  await spooled.insertBackup(meanwhile);
  expect(spooled.spool?.status()).toMatchObject({
    unreachable_since: expect.any(String),
    reason: expect.stringContaining("accepts only reads"),
    waiting: 1,
  });
  await onStandby.sql`select pg_promote()`;
  await catalog.updateBackup(backup.id, { status: "FAILED" });
  expect(await catalog.backup(backup.id)).toEqual({ ...backup, status: "FAILED" });
  await eventually(async () => {
    aheadMs += 5_000;
    await spooled.leases();
    return spooled.spool?.status().unreachable_since === null;
  });
  expect(await catalog.backup(meanwhile.id)).toEqual(meanwhile);
});

test("daemons work through PgBouncer in transaction mode", async () => {
  const direct = await newUrl();
  await using pooler = await startPgbouncer(postgres.address);
  const url = direct.replace(/:\d+\//, `:${pooler.port}/`);
  const daemons = await openMany(url, 5);
  const backups = daemons.map(() => backupRecord());
  await Promise.all(
    daemons.map(async (daemon, index) => {
      const backup = backups[index];
      if (!backup) throw new Error();
      await daemon.insertBackup(backup);
      await daemon.putCopy(copyRecord(backup, { state: "CONFIRMED" }));
      await daemon.changeAlert("disk full", () => undefined);
    }),
  );
  const [first] = daemons as [Catalog];
  {
    await using snapshot = await first.retained();
    expect((await Array.fromAsync(snapshot.backups())).flat()).toHaveLength(5);
    // In the other of the pooler's sessions.
    expect(await first.backups({})).toHaveLength(5);
  }
  await closeAll(daemons);
});

test("plans of cleanups may have all sessions of a pooler: each needs only its own", async () => {
  await using pooler = await startPgbouncer(postgres.address);
  const [one, other] = await openMany((await newUrl()).replace(/:\d+\//, `:${pooler.port}/`), 2);
  if (!one || !other) throw new Error();
  await using lab = await endpointLab();
  const context = { ...lab.context, catalog: one };
  await one.insertBackup(backupRecord());
  {
    await using _ofOtherHost = await other.retained();
    const { going } = await planRun(context, crypto.randomUUID(), { confirm: undefined });
    await going[Symbol.asyncDispose]();
  }
  await closeAll([one, other]);
});
