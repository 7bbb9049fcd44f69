import { beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { contentsOf } from "../../../lab/data/compare-databases.ts";
import { fillTortureDatabase } from "../../../lab/data/torture-database.ts";
import { compareByName, usePostgres } from "../../../lab/servers/use-postgres.ts";
import { useInstallation } from "../../../lab/use-installations.ts";

/** Parts of a backup of several streams, whose rows come in other archives than the tables. */

setDefaultTimeout(120_000);
const postgres = usePostgres();
const installation = useInstallation(postgres, {
  more: '[dump]\njobs = 3\n[restore_test]\nserver = "throwaway"\n[[database]]\nname = "*"\nrestore_test.skip_extensions = ["hstore"]',
});
let source: string;
let backup: string;

beforeAll(async () => {
  source = await postgres.createDatabase();
  await fillTortureDatabase(postgres.connect(source));
  backup = (await installation().ok("backup", `main/${source}`, "--json")).json.backups[0].backup_id;
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
  const target = `restored_${crypto.randomUUID().slice(0, 8)}`;
  postgres.dropAtEnd(target);
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
  const refused = await run(target, "--data-only", "--table", "shop.*", "--into-existing");
  expect(refused.exitCode).toBe(10);
  expect(refused.stderr).toContain("the streams of this backup are not in their order");
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
    const target = `restored_${crypto.randomUUID().slice(0, 8)}`;
    postgres.dropAtEnd(target);
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

test("rows that may be of an extension that is not skipped are reported as left out", async () => {
  const two = await postgres.createDatabase();
  const table = (extension: string, schema: string) =>
    `create extension ${extension}; create schema ${schema}; create table ${schema}.job (id serial);
     insert into ${schema}.job default values;
     alter extension ${extension} add table ${schema}.job;
     alter extension ${extension} add sequence ${schema}.job_id_seq;
     update pg_extension set extcondition = array['', ''],
       extconfig = array['${schema}.job'::regclass::oid, '${schema}.job_id_seq'::regclass::oid]
       where extname = '${extension}';`;
  await postgres
    .connect(two)
    .unsafe(
      `create table large as select i, repeat(md5(i::text), 30) as text from generate_series(1, 25000) i;
       ${table("hstore", "cron")} ${table("citext", "part")}`,
    )
    .simple();
  const { backups } = (await installation().ok("backup", `main/${two}`, "--json")).json;
  const restore = (...words: string[]) => {
    const target = `restored_${crypto.randomUUID().slice(0, 8)}`;
    postgres.dropAtEnd(target);
    const all = ["-t", `main/${target}`, "--create", "--json", ...words];
    return installation().run("restore", backups[0].backup_id, ...all);
  };
  const leftOut = (json: { left_out: { entry: string }[] }) => json.left_out.map(({ entry }) => entry).sort();
  const skipped = await restore("--skip-extension", "hstore");
  expect({ exitCode: skipped.exitCode, json: skipped.json }).toMatchObject({
    exitCode: 3,
    json: { outcome: "PARTIAL", rows: 25_000 },
  });
  const lost = ["cron", "part"].flatMap((one) => [`SEQUENCE SET ${one}.job_id_seq`, `TABLE DATA ${one}.job`]);
  expect(leftOut(skipped.json)).toEqual(lost.sort());
  expect(skipped.json.left_out[0].reason).toContain("may belong to a skipped extension");
  // What somebody excludes is not reported.
  const words = ["--skip-extension", "hstore", "--exclude-schema"];
  const excluded = await restore(...words, "cron", "--exclude-schema", "part");
  expect({ exitCode: excluded.exitCode, left_out: excluded.json?.left_out }).toEqual({
    exitCode: 0,
    left_out: [],
  });
  const all = await restore("--skip-extension", "hstore", "--skip-extension", "citext");
  expect({ exitCode: all.exitCode, left_out: all.json?.left_out }).toEqual({ exitCode: 0, left_out: [] });
  // A restore test does not expect them.
  const tested = (await installation().run("restore-test", backups[0].backup_id, "--json")).json;
  expect(tested.tests.map(({ outcome, error }: Record<string, unknown>) => [outcome, error])).toEqual([
    ["PASSED", null],
  ]);
  const detail = tested.tests[0].checks.find(({ name }: { name: string }) => name === "pg_restore").detail;
  expect(detail).toContain("table data part.job (restore_test.skip_extensions)");
});
