import { expect, test } from "bun:test";
import { systemClock } from "../src/base/clock.ts";
import { Secret } from "../src/base/secret.ts";
import { examineCatalog, openCatalog } from "../src/catalog/open.ts";
import { migrate } from "../src/catalog/postgres/migration/migrate.ts";
import { MIGRATIONS } from "../src/catalog/postgres/migration/migrations.ts";
import { Transactions } from "../src/catalog/postgres/transactions.ts";
import type { BackupRecord } from "../src/catalog/records.ts";
import { parseCatalogUrl } from "../src/config/catalog-url.ts";
import { eventually } from "./lab/machine/running.ts";
import { connectTo, disposable } from "./lab/servers/postgres.ts";
import { usePostgres } from "./lab/servers/use-postgres.ts";
import { backupRecord, copyRecord } from "./suites/catalog/records.ts";

const postgres = usePostgres();
/** The version whose step to the next one gives each host its own records. */
const BEFORE_OWN_RECORDS = 11;

test("a migration counts in what another daemon is writing while it begins", async () => {
  const url = postgres.url(await postgres.createDatabase());
  const parsed = parseCatalogUrl(url);
  if (!parsed) throw new Error();
  await using transactions = new Transactions(parsed, systemClock);
  // From this version on no migration changes the columns of backups, which would make it wait by itself.
  await migrate(transactions, { migrations: MIGRATIONS.slice(0, 5) });
  const backup = backupRecord({ status: "VERIFIED" });
  const rows = { backups: backup, copies: copyRecord(backup, { state: "CONFIRMED" }) };
  await using admin = disposable(connectTo(postgres.address, new URL(url).pathname.slice(1)));
  const { sql } = admin;
  let migrating: Promise<void> | undefined;
  await sql.begin(async (other) => {
    for (const [table, row] of Object.entries(rows))
      await other.unsafe(
        `insert into pg321.${table} select * from json_populate_record(null::pg321.${table}, $1::text::json)`,
        [JSON.stringify(row)],
      );
    migrating = migrate(transactions);
    await eventually(async () => {
      const [waits] = await other`select 1 from pg_locks
          where not granted and relation = any (array['pg321.backups', 'pg321.copies']::regclass[])`;
      return waits !== undefined;
    });
  });
  await migrating;
  const [latest] = await sql`select good_id from pg321.latest_backups`;
  const retained = await sql`select id, copies::text from pg321.retained_backups`;
  expect(latest).toEqual({ good_id: backup.id });
  expect([...retained]).toEqual([{ id: backup.id, copies: expect.stringContaining("CONFIRMED") }]);
});

test("what was one record for all hosts is the record of each after an upgrade", async () => {
  const name = await postgres.createDatabase();
  const at = { type: "postgres", url: new Secret(postgres.url(name)) } as const;
  const parsed = parseCatalogUrl(at.url.reveal());
  if (!parsed) throw new Error();
  await using transactions = new Transactions(parsed, systemClock);
  await migrate(transactions, { migrations: MIGRATIONS.slice(0, BEFORE_OWN_RECORDS) });
  await using admin = disposable(connectTo(postgres.address, name));
  for (const host of ["a", "b"])
    await admin.sql`insert into pg321.hosts values
      (${host}, '1', 1, '', '', null, ${`[{"name":"disk-${host}"},{"name":"bucket"}]`}, '[]', '[]', '[]')`;
  for (const name of ["disk-a", "disk-b", "bucket", "former"])
    await admin.sql`insert into pg321.storages values (${name}, '2026-01-02', 'away', null, null, 3, 'full', '2026-01-01')`;
  await admin.sql`insert into pg321.clock_trust values (1, '2026-01-01', '2026-02-01')`;
  await admin.sql`insert into pg321.host_export values (1, '2026-01-01', 'files')`;
  await admin.sql`insert into pg321.recovery_kits (made_at, fingerprint) values ('2026-01-01', 'kit')`;
  const older = await examineCatalog(at, { clock: systemClock, host: "a" });
  expect([older?.hostExport?.fingerprint, older?.recoveryKit?.fingerprint]).toEqual(["files", "kit"]);
  await using catalog = await openCatalog(at, { clock: systemClock });
  expect((await catalog.hostExports.last("b"))?.fingerprint).toBe("files");
  expect((await catalog.recoveryKits.last("b"))?.fingerprint).toBe("kit");
  const checks = async (host: string) =>
    (await catalog.overview.storages(host)).map(({ name, check_error, errors }) => [
      name,
      check_error,
      errors,
    ]);
  expect(await checks("b")).toEqual([
    ["bucket", "away", 3],
    ["disk-a", null, 3],
    ["disk-b", "away", 3],
    ["former", null, 3],
  ]);
  const trust = { trusted_at: "2026-01-01", accepted_until: "2026-02-01" };
  await catalog.clockRecords.setTrust({ ...trust, trusted_at: "2026-03-01" }, "a");
  // Another host that joins later begins from the same time, without the dates that a person accepted there.
  expect(await Promise.all(["b", "c"].map((host) => catalog.clockRecords.trust(host)))).toEqual([
    trust,
    { ...trust, accepted_until: null },
  ]);
});

test("two backups that lose their last copy at once, by two hosts, leave the one before them", async () => {
  const name = await postgres.createDatabase();
  const at = { type: "postgres", url: new Secret(postgres.url(name)) } as const;
  await using catalog = await openCatalog(at, { clock: systemClock });
  await using admin = disposable(connectTo(postgres.address, name));
  const [first, second, third] = [1, 2, 3].map((day) =>
    backupRecord({ status: "VERIFIED", started_at: `2026-01-0${day}T00:00:00.000Z` }),
  ) as [BackupRecord, BackupRecord, BackupRecord];
  for (const backup of [first, second, third]) {
    await catalog.insertBackup(backup);
    // In storages of their own: the sums of one storage would make the hosts wait for each other.
    await catalog.putCopy(copyRecord(backup, { storage: backup.id, state: "CONFIRMED" }));
  }
  let ended: Promise<void> | undefined;
  await admin.sql.begin(async (other) => {
    await other`update pg321.copies set state = 'DAMAGED' where backup_id = ${third.id}`;
    let hasEnded = false;
    ended = catalog.updateCopy(second.id, second.id, { state: "DAMAGED" }).finally(() => {
      hasEnded = true;
    });
    await eventually(async () => {
      const waiting = await other`select 1 from pg_locks where not granted`;
      return hasEnded || waiting.length > 0;
    });
  });
  await ended;
  const [latest] = await catalog.overview.latestBackups(new Date("2026-02-01T00:00:00.000Z"));
  expect(latest?.good?.id).toBe(first.id);
});

test("a migration gets hours for a statement, other calls a minute", async () => {
  const parsed = parseCatalogUrl(postgres.url(await postgres.createDatabase()));
  if (!parsed) throw new Error();
  await using transactions = new Transactions(parsed, systemClock);
  const limit = "SELECT current_setting('statement_timeout') AS statement";
  await migrate(transactions, { migrations: [`CREATE TABLE limits AS ${limit}`] });
  const [during] = await transactions.do("read", ({ rows }) => rows("SELECT * FROM limits"));
  const [later] = await transactions.do("read", ({ rows }) => rows(limit));
  expect([during, later]).toEqual([{ statement: "6h" }, { statement: "1min" }]);
});
