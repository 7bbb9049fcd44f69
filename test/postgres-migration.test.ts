import { expect, test } from "bun:test";
import { systemClock } from "../src/base/clock.ts";
import { migrate } from "../src/catalog/postgres/migration/migrate.ts";
import { MIGRATIONS } from "../src/catalog/postgres/migration/migrations.ts";
import { Transactions } from "../src/catalog/postgres/transactions.ts";
import { parseCatalogUrl } from "../src/config/catalog-url.ts";
import { eventually } from "./lab/machine/running.ts";
import { connectTo, disposable } from "./lab/servers/postgres.ts";
import { usePostgres } from "./lab/servers/use-postgres.ts";
import { backupRecord, copyRecord } from "./suites/catalog/records.ts";

const postgres = usePostgres();

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
