import { expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { connectTo, startPostgres } from "../../lab/servers/postgres.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";
import { useInstallation } from "../../lab/use-installations.ts";

/** Read-only targets, and foreign servers behind a target: reported by name before anything is tried. */

setDefaultTimeout(60_000);
const postgres = usePostgres();

const installation = useInstallation(postgres);

async function backUpOf(statements: string): Promise<string> {
  const source = await postgres.createDatabase();
  const sql = connectTo(postgres.address, source);
  await sql.unsafe(statements).simple();
  await sql.end();
  return await installation().backUp(source);
}

test("a standby fails the dry run, and the restore before anything else", async () => {
  const backup = await backUpOf("create table t (i int)");
  await using standby = await startPostgres({ settings: ["wal_level = replica"] });
  await standby.stop();
  writeFileSync(join(standby.address.data_dir, "standby.signal"), "");
  await standby.start();
  const { user, password, port } = standby.address;
  const url = (database: string) => `postgres://${user}:${password}@127.0.0.1:${port}/${database}`;
  for (const words of [
    ["--target", url("postgres"), "--into-existing"],
    ["--target", url("fresh"), "--create"],
  ]) {
    const dry = await installation().run("restore", backup, ...words, "--dry-run", "--json");
    expect(dry.exitCode).toBe(10);
    expect(dry.json.obstacle).toBe("target: it is a standby, which is read-only; nothing was changed");
    const { exitCode, stderr } = await installation().run("restore", backup, ...words);
    expect(exitCode).toBe(10);
    expect(stderr).toContain("hint: restore into its primary");
  }
});

test("a target that is read-only by a setting fails the dry run", async () => {
  const backup = await backUpOf("create table t (i int)");
  const target = await postgres.createDatabase();
  await postgres.connect().unsafe(`alter database ${target} set default_transaction_read_only = on`);
  const dry = await installation().run("restore", backup, "--target", `main/${target}`, "--dry-run");
  expect(dry.exitCode).toBe(10);
  expect(dry.stdout).toContain(
    'default_transaction_read_only is on for "postgres" there; nothing was changed',
  );
});

test("an unreachable foreign server is not reported as the target", async () => {
  const backup = await backUpOf(`create extension postgres_fdw;
    create server far foreign data wrapper postgres_fdw options (host '127.0.0.1', port '${postgres.address.port}',
      dbname 'postgres');
    create user mapping for current_user server far
      options (user '${postgres.address.user}', password '${postgres.address.password}');
    create foreign table distant (datname name) server far options (schema_name 'pg_catalog', table_name 'pg_database');
    create materialized view seen as select * from distant;
    alter server far options (set port '1')`);
  const target = await postgres.createDatabase();
  const { exitCode, stderr } = await installation().run("restore", backup, "--target", `main/${target}`);
  expect(exitCode).toBe(10);
  expect(stderr).toContain('could not connect to server "far"');
  expect(stderr).toContain("hint: a foreign server (postgres_fdw, dblink)");
  expect(stderr).not.toContain("check that PostgreSQL runs");
});
