import { expect, setDefaultTimeout, test } from "bun:test";
import { watched } from "../../lab/machine/running.ts";
import { connectTo } from "../../lab/servers/postgres.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";
import { useInstallation } from "../../lab/use-installations.ts";

/** Warnings of a successful pg_dump, and a failure that the next attempt does not meet. */

setDefaultTimeout(60_000);
const postgres = usePostgres();

const installation = useInstallation(postgres);

test("a warning of pg_dump is in the result, the log and the list", async () => {
  const database = postgres.newName("warned");
  const admin = postgres.connect();
  await admin.unsafe(`create database ${database} template template0 locale_provider icu icu_locale 'de'`);
  await admin`update pg_database set datcollversion = '1' where datname = ${database}`;
  const warning = expect.stringMatching(
    /^database "warned_.*" has a collation version mismatch The database was/,
  );
  const { json, stderr } = await installation().ok("backup", database, "--json");
  expect(json.backups).toMatchObject([{ status: "VERIFIED", warnings: [warning] }]);
  expect(stderr).toMatch(/the dump has a warning.*collation version mismatch/);
  expect((await installation().ok("backup", database)).stdout).toContain(
    `warning: main/${database}: pg_dump: database "${database}" has a collation version mismatch`,
  );
  const listed = await installation().ok("list", "-d", database, "--json");
  expect(listed.json.backups).toMatchObject([{ warnings: [warning] }, { warnings: [warning] }]);
  expect((await installation().ok("list", "-d", database)).stdout).toContain("complete, 1 warning");
  const { warnings } = (await installation().ok("show", json.backups[0].backup_id, "--json")).json;
  expect(warnings).toEqual([warning]);
});

/** A backup whose pg_dump waits for the lock of a table that is then dropped. */
async function backUpWhileDropping(database: string) {
  const dropping = connectTo(postgres.address, database);
  const looking = connectTo(postgres.address, database);
  await dropping.unsafe("begin; drop table t").simple();
  const running = watched(installation().start("backup", database, "--json"));
  await running.until(
    "pg_dump waits for the table's lock",
    async () =>
      (await looking`select from pg_locks where not granted and relation = 't'::regclass`).length > 0,
  );
  await dropping.unsafe("commit");
  const ended = await running.ended;
  await dropping.end();
  await looking.end();
  return ended;
}

test("a dump that lost a table to a DROP is repeated", async () => {
  const database = await postgres.createDatabase();
  const sql = postgres.connect(database);
  const make = "create table t (i int); create table if not exists kept as select 1 as i";
  await sql.unsafe(make).simple();
  const again = await backUpWhileDropping(database);
  expect(again.exitCode).toBe(0);
  expect(again.json.backups).toMatchObject([{ status: "VERIFIED", error: null }]);
  const { backups } = (await installation().ok("list", "-d", database, "--json")).json;
  expect(backups.map(({ status }: { status: string }) => status)).toEqual(["VERIFIED", "FAILED"]);

  await installation().configure({ more: "[dump]\nretries = 0" });
  await sql.unsafe(make).simple();
  const once = await backUpWhileDropping(database);
  await installation().configure({ more: "" });
  expect(once.exitCode).toBe(10);
  expect(once.json.backups).toMatchObject([
    {
      error: expect.stringContaining('relation "public.t" does not exist'),
      hint: "something was dropped while pg_dump read the catalog: try again, or raise dump.retries",
    },
  ]);
  // It was not the storage's fault.
  const failed = (await installation().ok("list", "-d", database, "-n", "1", "--json")).json.backups[0];
  expect(failed.copies).toMatchObject([{ error: "not stored: the backup ended before it was complete" }]);
});
