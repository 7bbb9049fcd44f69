import { beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { contentsOf } from "../../../lab/data/compare-databases.ts";
import { fillTortureDatabase } from "../../../lab/data/torture-database.ts";
import { withCatalog } from "../../../lab/leftovers.ts";
import { compareByName, usePostgres } from "../../../lab/servers/use-postgres.ts";
import { useInstallation } from "../../../lab/use-installations.ts";

/** Parts of a backup of several streams, whose rows come in other archives than the tables. */

setDefaultTimeout(120_000);
const postgres = usePostgres();
const installation = useInstallation(postgres, {
  more: '[dump]\njobs = 3\n[restore_test]\nserver = "throwaway"\n[[database]]\nname = "*"\nrestore_test.skip_extensions = ["hstore", "citext"]',
});
let source: string;
let backup: string;

beforeAll(async () => {
  source = await postgres.createDatabase();
  await fillTortureDatabase(postgres.connect(source));
  backup = await installation().backUp(`main/${source}`);
});

const run = (target: string, ...words: string[]) =>
  installation().run("restore", backup, "-t", `main/${target}`, "--json", ...words);
const factsOf = async (database: string) => (await contentsOf(postgres.connect(database))).facts;

test("--into-schema brings the rows of all streams, and touches nothing live", async () => {
  const before = await factsOf(source);
  const words = ["side.p*", "side.item", "shop.Order", "log.event"].flatMap((one) => ["--table", one]);
  const { exitCode, json, stderr } = await run(source, ...words, "--into-schema", "old");
  expect({ exitCode, stderr: exitCode === 0 ? "" : stderr }).toEqual({ exitCode: 0, stderr: "" });
  const sql = postgres.connect(source);
  const count = async (names: string[]) => {
    const all = names.map((name) => `(select count(*) from ${name})`).join(" + ");
    return Number((await sql.unsafe(`select ${all} as count`))[0]?.["count"]);
  };
  const rows = await count(["side.parent", "side.parts", "side.item", 'shop."Order"', "log.event"]);
  expect(json.rows).toBe(rows);
  expect(await count(["old.parent", "old.parts", "old.item", 'old."Order"', "old.event"])).toBe(rows);
  const others = [...(await factsOf(source))].filter(([name]) => !/\bold\b/.test(name));
  expect(new Map(others)).toEqual(before);
  await sql`drop schema old cascade`;
  expect(await factsOf(source)).toEqual(before);
});

test("excluded tables, then only their schema, then only their rows make the whole database", async () => {
  const target = postgres.newName();
  const tables = ["side.orders", "log.event", '"*".*'];
  const created = await run(target, "--create", ...tables.flatMap((one) => ["--exclude-table", one]));
  expect({ exitCode: created.exitCode, stderr: created.stderr }).toMatchObject({ exitCode: 0 });
  const chosen = tables.flatMap((one) => ["--table", one]);
  const schema = await run(target, "--into-existing", ...chosen, "--schema-only");
  expect({ exitCode: schema.exitCode, stderr: schema.stderr }).toMatchObject({ exitCode: 0 });
  expect(schema.json.rows).toBe(0);
  const data = await run(target, ...chosen, "--data-only");
  expect({ exitCode: data.exitCode, stderr: data.stderr }).toMatchObject({ exitCode: 0 });
  const { differences } = await compareByName(postgres, source, target);
  expect(differences).toEqual([]);
  const several = await run(target, "--data-only", "--table", "shop.*", "--into-existing", "--jobs", "2");
  expect(several.exitCode).toBe(10);
  expect(several.stderr).toContain("several sessions would not fill them in that order");
});

test("--data-only fills tables in the order of their foreign keys, in one transaction", async () => {
  const target = `restored_${crypto.randomUUID().slice(0, 8)}`;
  postgres.dropAtEnd(target);
  expect((await run(target, "--create", "--schema-only")).exitCode).toBe(0);
  const dry = await run(target, "--data-only", "--dry-run");
  const { exitCode, stderr, json } = await run(target, "--data-only");
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
  expect(dry.json.notes).toContain(
    "tables are filled in the order of their foreign keys, from a file in temp_dir",
  );
  const { facts } = (await installation().ok("show", backup, "--json")).json;
  expect(json.rows).toBe(facts.tables.reduce((sum: number, { rows }: { rows: number }) => sum + rows, 0));
  const sql = postgres.connect(target);
  await sql`refresh materialized view side.sums`;
  await sql`refresh materialized view shop.revenue_by_day`;
  expect((await compareByName(postgres, source, target)).differences).toEqual([]);
  expect(await installation().temporaryFiles()).toEqual([]);
});

test("--skip-extension and --exclude-schema also leave out the rows of an extension's tables", async () => {
  const cron = await postgres.createDatabase();
  await postgres
    .connect(cron)
    .unsafe(
      `create table large as select i, repeat(md5(i::text), 30) as text from generate_series(1, 25000) i;
       create extension hstore; create schema cron; create table cron.job as select 1 as id;
       alter extension hstore add table cron.job;
       -- As pg_extension_config_dump does in the script of an extension.
       update pg_extension set extconfig = array['cron.job'::regclass::oid], extcondition = array['']
         where extname = 'hstore'`,
    )
    .simple();
  const { backups } = (await installation().ok("backup", `main/${cron}`, "--json")).json;
  const restore = (...words: string[]) => {
    const target = postgres.newName();
    const all = ["-t", `main/${target}`, "--create", "--json", ...words];
    return installation().run("restore", backups[0].backup_id, ...all);
  };
  // This extension's script does not make the table, so its rows have no place.
  const whole = await restore();
  expect(whole.exitCode).toBe(10);
  expect(whole.stderr).toContain('relation "cron.job" does not exist');
  const skipped = await restore("--skip-extension", "hstore");
  expect({ exitCode: skipped.exitCode, rows: skipped.json?.rows }).toEqual({ exitCode: 0, rows: 25_000 });
  expect(skipped.stderr).toContain("cron.job");
  const excluded = await restore("--exclude-schema", "cron");
  expect({ exitCode: excluded.exitCode, rows: excluded.json?.rows }).toEqual({ exitCode: 0, rows: 25_000 });
});

test("--skip-extension leaves out the rows of that extension's tables alone", async () => {
  const two = await postgres.createDatabase();
  // As the script of an extension does.
  const table = (extension: string, name: string) =>
    `create extension ${extension}; create table ${name} (id serial);
     alter extension ${extension} add table ${name}; alter extension ${extension} add sequence ${name}_id_seq;
     update pg_extension set extcondition = array['', ''],
       extconfig = array['${name}'::regclass::oid, '${name}_id_seq'::regclass::oid] where extname = '${extension}';`;
  await postgres
    .connect(two)
    .unsafe(
      `create table large as select i, repeat(md5(i::text), 30) as text from generate_series(1, 25000) i;
       ${table("hstore", "cron")} insert into cron default values; insert into cron default values;
       ${table("citext", "part")} insert into part default values;`,
    )
    .simple();
  const { backups } = (await installation().ok("backup", `main/${two}`, "--json")).json;
  const id: string = backups[0].backup_id;
  const { streams } = (await installation().ok("show", id, "--json")).json;
  expect(streams.extension_data).toEqual(
    expect.arrayContaining([
      { schema: "public", name: "cron", extension: "hstore" },
      { schema: "public", name: "part_id_seq", extension: "citext" },
    ]),
  );
  expect(streams.extension_data).toHaveLength(4);
  const restore = async (...words: string[]) => {
    const target = await postgres.createDatabase();
    const sql = postgres.connect(target);
    // The script of the real extension does not make the table.
    await sql.unsafe(table("citext", "part")).simple();
    const all = ["-t", `main/${target}`, "--into-existing", "--json", ...words];
    return { sql, ...(await installation().run("restore", id, ...all)) };
  };
  const skipped = await restore("--skip-extension", "hstore");
  expect({ exitCode: skipped.exitCode, json: skipped.json }, skipped.stderr).toMatchObject({
    exitCode: 0,
    json: { outcome: "OK", left_out: [] },
  });
  expect(skipped.stderr).toContain("public.cron");
  expect(skipped.stderr).not.toContain("public.part");
  expect(await skipped.sql`select id from part`).toEqual([{ id: 1 }] as never);

  // Without the record of the catalog, the sealed one of the manifest says it; without both, nothing may be lost unseen.
  const record = (facts: Record<string, unknown> | null) =>
    withCatalog(installation(), (catalog) => catalog.updateBackup(id, { facts }));
  await record(null);
  const adopted = await restore("--skip-extension", "hstore");
  expect({ exitCode: adopted.exitCode, left_out: adopted.json.left_out }).toEqual({
    exitCode: 0,
    left_out: [],
  });
  await record({});
  const unknown = await restore("--skip-extension", "hstore");
  expect({ exitCode: unknown.exitCode, json: unknown.json }).toMatchObject({
    exitCode: 3,
    json: { outcome: "PARTIAL" },
  });
  const entries = unknown.json.left_out.map(({ entry }: { entry: string }) => entry).sort();
  expect(entries).toEqual(
    ["cron", "part"]
      .flatMap((one) => [`SEQUENCE SET public.${one}_id_seq`, `TABLE DATA public.${one}`])
      .sort(),
  );
  expect(unknown.json.left_out[0].reason).toContain("may belong to a skipped extension");

  // A restore test does not expect what the config skips.
  const tested = (await installation().run("restore-test", id, "--json")).json;
  expect(tested.tests.map(({ outcome, error }: Record<string, unknown>) => [outcome, error])).toEqual([
    ["PASSED", null],
  ]);
  const detail = tested.tests[0].checks.find(({ name }: { name: string }) => name === "pg_restore").detail;
  expect(detail).toContain("table data public.part (restore_test.skip_extensions)");
});
