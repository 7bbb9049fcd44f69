import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { contentsOf } from "../../../lab/data/compare-databases.ts";
import { fillTortureDatabase } from "../../../lab/data/torture-database.ts";
import { Installation, localStorage } from "../../../lab/installation.ts";
import { usePostgres } from "../../../lab/servers/use-postgres.ts";

/** Old rows beside the live ones: `--into-schema` touches nothing that is there. */

setDefaultTimeout(120_000);
const postgres = usePostgres();
let installation: Installation;
let live: string;
let backup: string;

beforeAll(async () => {
  live = await postgres.createDatabase();
  await fillTortureDatabase(postgres.connect(live));
  await postgres
    .connect(live)
    .unsafe(
      `create table side.every_kind (a numeric(12, 2) default 1.5 not null, b timestamp(3) without time zone default now(),
        c text collate "C" default ('a' || null), d int[] default array[1, 2], e shop.status default 'new' not null,
        f interval day to second(2), g varchar(20)[], "Not Null" bit varying(5), h int default nextval('side.shared') unique,
        i int default case when true then null else 1 end, check (a > 0), constraint "x, (" check (c <> ',(')) with (fillfactor = 70);
      insert into side.every_kind (f, g, "Not Null") values ('1 day', '{a,"b,c"}', '101'), (null, null, null);
      alter table side.every_kind alter c set storage external, replica identity full;
      create index on side.every_kind (lower(c)) where a > 0; alter table side.every_kind cluster on every_kind_h_key`,
    )
    .simple();
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [live],
    storages: (directory) => [localStorage("disk", directory)],
  });
  backup = await installation.backUp();
});
afterAll(() => installation[Symbol.asyncDispose]());

const run = (...words: string[]) =>
  installation.run("restore", backup, "-t", `main/${live}`, "--json", ...words);
const factsOf = async () => (await contentsOf(postgres.connect(live))).facts;

/** The facts about other schemas than this one. */
async function without(schema: string) {
  return new Map([...(await factsOf())].filter(([name]) => !name.includes(schema)));
}

describe.each([[[]], [["--jobs", "2"]]])("with %j", (options: string[]) => {
  const schema = `old_${options.length}`;

  test("the chosen tables come with all their rows, keys and indexes, and nothing live changes", async () => {
    const before = await factsOf();
    const tables = ["side.*", "shop.*", "log.event", '"Mixed Case".*', '"a.b".*', '"*".*'];
    const words = [...tables.flatMap((one) => ["--table", one]), "--exclude-table", "whole_rows"];
    const { exitCode, json, stderr } = await run(...words, "--into-schema", schema, ...options);
    expect({ exitCode, stderr: exitCode === 0 ? "" : stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(await without(schema)).toEqual(before);
    const sql = postgres.connect(live);
    const [made] = await sql`select count(*)::int as tables from pg_class
      where relnamespace = ${schema}::regnamespace and relkind in ('r', 'p')`;
    expect(made).toEqual({ tables: json.tables });
    const pairs = [
      "side.every_kind",
      "side.parent",
      "side.parts",
      "side.item",
      "shop.customer",
      'shop."Order"',
    ].concat(["log.event", '"Mixed Case"."Odd.Table ""x"""']);
    for (const name of pairs) {
      const copy = `${schema}.${name.slice(name.indexOf(".") + 1)}`;
      const [row] = await sql.unsafe(
        `select (select count(*) from (table ${copy} except table ${name}) x)::int as more,
        (select count(*) from (table ${name} except table ${copy}) x)::int as fewer, (select count(*) from ${copy})::int as all`
          .replaceAll("table shop.customer", "(select id, name, name_upper from shop.customer)")
          .replaceAll(`table ${schema}.customer`, `(select id, name, name_upper from ${schema}.customer)`),
      );
      expect({ name, ...row }).toMatchObject({ name, more: 0, fewer: 0 });
      expect(row?.["all"]).toBeGreaterThan(0);
    }
    const parts = await sql`select indexrelid::regclass::text as name, indisvalid as valid from pg_index
      where indexrelid::regclass::text like ${`${schema}.%`} order by 1`;
    const names = parts.map(({ name }) => name.slice(schema.length + 1));
    expect(names).toEqual(
      expect.arrayContaining(["parent_pkey", "parent_twice", "parts_pkey", "part_1_a_pkey"]),
    );
    expect(parts.filter(({ valid }) => !valid)).toEqual([]);
    // A row without an identity or a default cannot take a number of the live sequence.
    await expect(sql.unsafe(`insert into ${schema}.parent (total) values (1)`).execute()).rejects.toThrow(
      "null value",
    );
    const [bound] =
      await sql`select count(*)::int as count from pg_depend d join pg_class t on t.oid = d.objid
      join pg_class s on s.oid = d.refobjid where t.relnamespace = ${schema}::regnamespace and s.relnamespace <> t.relnamespace
        and s.relnamespace <> 'pg_catalog'::regnamespace`;
    expect(bound).toEqual({ count: 0 });
    await sql.unsafe(`drop schema ${schema} cascade`);
    expect(await factsOf()).toEqual(before);
  });
});

test("a dry run names what comes and what stays behind", async () => {
  const { exitCode, json } = await run("--table", "side.parent", "--into-schema", "old", "--dry-run");
  expect(exitCode).toBe(0);
  expect(json.entries).toEqual(
    expect.arrayContaining(["TABLE old.parent", "TABLE DATA old.child", "INDEX old.parent_twice"]),
  );
  expect(json.entries.join()).not.toMatch(/SEQUENCE|TRIGGER|DEFAULT|FK|POLICY|RULE|STATISTICS|ACL|COMMENT/);
  expect(json.notes.join("\n")).toMatch(/schema "old" is created.*\n.*without defaults.*1 TRIGGER/s);
  expect((await factsOf()).has("schema old")).toBe(false);
});

test.each([
  [
    ["--table", "whole_rows"],
    10,
    /table side\.whole_rows cannot be restored.*it uses the row type of side\.parent/,
  ],
  [["--table", "side.child"], 10, /table side\.child .*it inherits from side\.parent, which is not selected/],
  [["--table", "side.totals"], 2, /no table is selected for schema "old"/],
  [["--table", "side.orders", "--table", "side.totals"], 10, /view side\.totals .*it is not a table/],
  [["--table", "orders"], 10, /table public\.orders .*table side\.orders has the same name/],
  [["--schema", "*", "--table", "totals*", "--table", "open_*"], 2, /no table is selected for schema "old"/],
  [[], 2, /--into-schema needs --table or --schema/],
  [
    ["--table", "side.orders", "--into-schema", "shop"],
    10,
    /schema "shop" is not empty; nothing was changed\nhint: give/,
  ],
  [["--table", "side.orders", "--into-schema", "pg_old"], 2, /the name is PostgreSQL's own/],
  [["--table", "side.orders", "--into-schema", "x".repeat(64)], 2, /longer than 63 bytes/],
  [["--table", "side.orders", "--clean"], 2, /--into-schema cannot be used with --clean/],
])("%j is refused", async (words, exitCode, message) => {
  const schema = words.includes("--into-schema") ? [] : ["--into-schema", "old"];
  const ended = await run(...words, ...schema);
  expect({ exitCode: ended.exitCode, stderr: ended.stderr }).toMatchObject({ exitCode });
  expect(ended.stderr).toMatch(message);
  expect((await factsOf()).has("schema old")).toBe(false);
});

test("a role that owns nothing needs only the right to create a schema, beside that to use the others", async () => {
  const role = `looker_${crypto.randomUUID().slice(0, 8)}`;
  const sql = postgres.connect(live);
  await sql
    .unsafe(`create role ${role} login password 'secret'; grant usage on schema side, shop to ${role}`)
    .simple();
  const words = ["--table", "side.orders", "--table", "side.every_kind", "--into-schema", "old", "--json"];
  const url = `postgres://${role}:secret@127.0.0.1:${postgres.address.port}/${live}`;
  const restore = () => installation.run("restore", backup, ...words, "-t", url);
  const refused = await restore();
  expect({ exitCode: refused.exitCode, stderr: refused.stderr }).toMatchObject({ exitCode: 10 });
  expect(refused.stderr).toContain(
    "may not create a schema; nothing was changed\nhint: GRANT CREATE ON DATABASE",
  );
  await sql.unsafe(`grant create on database ${live} to ${role}`);
  const { exitCode, json, stderr } = await restore();
  expect({ exitCode, stderr: exitCode === 0 ? "" : stderr }).toEqual({ exitCode: 0, stderr: "" });
  expect(json).toMatchObject({ tables: 2, rows: 3, lacks: [] });
  await sql.unsafe(`drop owned by ${role}; drop role ${role}`).simple();
});

test("a failure in the middle leaves no schema behind", async () => {
  const sql = postgres.connect(live);
  await sql.unsafe("alter type shop.status rename value 'new' to 'newest'");
  const words = ["--table", "side.every_kind", "--table", "side.orders", "--into-schema", "old"];
  const { exitCode, stderr } = await run(...words);
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 10 });
  expect(stderr).toContain("nothing of database");
  expect((await factsOf()).has("schema old")).toBe(false);
  await sql.unsafe("alter type shop.status rename value 'newest' to 'new'");
});
