import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Installation, localStorage } from "../../lab/installation.ts";
import { connectTo, type LabPostgres, startPostgres } from "../../lab/servers/postgres.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";
import { useInstallation } from "../../lab/use-installations.ts";

/**
 * Restores into a server that is older than the dumped one and all client programs here. If `PG321_TEST_BIN_DIRS` has two
 * directories with servers, also from the first of them into the second, with the programs of the first.
 */

setDefaultTimeout(120_000);
const postgres = usePostgres();
let older: LabPostgres;
const installation = useInstallation(postgres);

beforeAll(async () => {
  older = await startPostgres({ fetched: 14 });
});
afterAll(async () => {
  await older?.[Symbol.asyncDispose]();
});

function targetUrl(database: string): string {
  const { user, password, port } = older.address;
  return `postgres://${user}:${password}@127.0.0.1:${port}/${database}`;
}

async function inOlder<T>(database: string, query: string): Promise<T[]> {
  const sql = connectTo(older.address, database);
  try {
    return [...(await sql.unsafe<T[]>(query))];
  } finally {
    await sql.end();
  }
}

test("--create uses only settings that the older server knows", async () => {
  const source = await postgres.createDatabase();
  await postgres.connect(source).unsafe("create table t as select * from generate_series(1, 10) i");
  const backup = await installation().backUp(source);
  const words = ["restore", backup, "--target", targetUrl("fresh"), "--create"];
  const dry = await installation().ok(...words, "--dry-run", "--json");
  expect(dry.json).toMatchObject({ obstacle: null, lacks: [{ kind: "version", name: "14" }] });
  await installation().ok(...words);
  expect(await inOlder("fresh", "select count(*)::int as n from t")).toEqual([{ n: 10 }]);
  const [made] = await inOlder(
    "fresh",
    "select datcollate, datctype from pg_database where datname = 'fresh'",
  );
  expect(made).toEqual({ datcollate: "C.UTF-8", datctype: "C.UTF-8" });
});

test("--create of a database with an ICU locale reports the locale used instead", async () => {
  const source = postgres.newName("icu");
  await postgres
    .connect()
    .unsafe(
      `create database ${source} template template0 locale_provider icu icu_locale 'de-DE' locale 'C.UTF-8'`,
    );
  await postgres.connect(source).unsafe("create table t as select 'ä' as letter");
  const backup = await installation().backUp(source);
  const words = ["restore", backup, "--target", targetUrl("icu"), "--create"];
  const lost = {
    kind: "locale",
    name: "icu_locale de-DE",
    hint: "PostgreSQL 14 does not support it: it will sort by the system's locale C.UTF-8 instead",
    sql: null,
  };
  const dry = await installation().ok(...words, "--dry-run", "--json");
  expect(dry.json.lacks).toEqual([lost, expect.objectContaining({ kind: "version" })]);
  const restored = await installation().ok(...words);
  expect(restored.stdout).toContain(`lacks locale icu_locale de-DE: ${lost.hint}`);
  expect(await inOlder("icu", "select letter from t")).toEqual([{ letter: "ä" }]);
});

test("a restore of the whole server says beforehand that the target is older", async () => {
  await installation().backUp(await postgres.createDatabase());
  const words = ["restore", "--server", "main", "--target", targetUrl("postgres"), "--dry-run"];
  const warning = "the target is PostgreSQL 14, and the backups come from PostgreSQL 15";
  // The database postgres has no backup: that makes it incomplete.
  const dry = await installation().run(...words);
  expect(dry.exitCode).toBe(3);
  expect(dry.stdout).toContain(`warning ${warning}`);
  expect((await installation().run(...words, "--json")).json.warnings).toEqual([
    expect.stringContaining(warning),
  ]);
});

const [newerPrograms, olderPrograms] = (process.env["PG321_TEST_BIN_DIRS"] ?? "")
  .split(":")
  .filter((path) => path !== "" && existsSync(join(path, "initdb")));

if (newerPrograms !== undefined && olderPrograms !== undefined)
  test(`from the server in ${newerPrograms} into that in ${olderPrograms}`, async () => {
    const servers = [newerPrograms, olderPrograms].map((binDir) => startPostgres({ binDir }));
    const [from, to] = (await Promise.all(servers)) as [LabPostgres, LabPostgres];
    await using _from = from;
    await using _to = to;
    const [one, two] = [connectTo(from.address, "postgres"), connectTo(to.address, "postgres")];
    const major = async (sql: typeof one) =>
      Number((await sql`select current_setting('server_version_num')::int / 10000 as v`)[0]?.["v"]);
    const [newer, target] = [await major(one), await major(two)];
    await one
      .unsafe("create table t (i int primary key, s text default 'x'); create view v as select * from t")
      .simple();
    await one.unsafe("insert into t select generate_series(1, 1000)");
    await using other = await Installation.make({
      postgres: from.address,
      databases: ["postgres"],
      storages: (directory) => [localStorage("disk", directory)],
      server: `bin_dir = ${JSON.stringify(newerPrograms)}`,
    });
    await other.ok("backup");
    const { user, password, port } = to.address;
    const url = `postgres://${user}:${password}@127.0.0.1:${port}`;
    const words = ["restore", "latest", "-d", "postgres", "--target", `${url}/fresh`, "--create"];
    const dry = await other.ok(...words, "--dry-run", "--json");
    expect(dry.json.lacks).toContainEqual(
      expect.objectContaining({
        kind: "version",
        name: `${target}`,
        hint: `the dump comes from PostgreSQL ${newer}`,
      }),
    );
    const restored = await other.ok(...words, "--json");
    expect(restored.stderr).toContain("the target is older than the server that was backed up");
    expect(restored.json).toMatchObject({ errors_ignored: 0, tables: 1, rows: 1000 });
    await Promise.all([one.end(), two.end()]);
  });
