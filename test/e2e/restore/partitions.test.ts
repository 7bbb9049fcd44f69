import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import type { Sql } from "postgres";
import { blocksBelow, commandsOf } from "../../lab/documented-commands.ts";
import { Installation, localStorage } from "../../lab/installation.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

/** A selected table is restored with all rows that a SELECT returns, wherever they are stored, and they are counted. */

setDefaultTimeout(120_000);
const postgres = usePostgres();
let installation: Installation;
let backup: string;

beforeAll(async () => {
  const source = await postgres.createDatabase();
  await postgres
    .connect(source)
    .unsafe(`create schema parts; create schema "In. herits (x)";
      create table ev (id int, at date not null, primary key (id, at)) partition by range (at);
      create table ev_1 partition of ev for values from ('2025-01-01') to ('2025-02-01');
      create table parts.ev_2 partition of ev for values from ('2025-02-01') to ('2025-03-01')
        partition by list (id);
      create table parts.ev_2_a partition of parts.ev_2 for values in (1, 2);
      create table parent (i int, note text default 'inherits (');
      create table "In. herits (x)"."child ""of" (j int) inherits (parent);
      create table other (p parent); create table nothing (i int);
      create view odd as select 1 as i; comment on table ev is 'of all';
      insert into ev values (1, '2025-01-05'), (1, '2025-02-05'), (2, '2025-02-06');
      insert into parent values (1, E'two\\nlines\\\\.'); insert into "In. herits (x)"."child ""of" values (2, '', 3);
      insert into other values (row(1, 'x')); select lo_from_bytea(4711, 'a large object')`)
    .simple();
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [source],
    storages: (directory) => [localStorage("disk", directory)],
  });
  backup = await installation.backUp();
});
afterAll(() => installation[Symbol.asyncDispose]());

async function restore(...words: string[]) {
  const name = postgres.newName();
  const all = ["restore", backup, "-t", `main/${name}`, "--create", ...words];
  return { sql: postgres.connect(name), ...(await installation.ok(...all, "--json")).json };
}

async function relations(sql: Sql): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    select oid::regclass::text as name from pg_class where relkind in ('r', 'p', 'v', 'f')
      and relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace) order by 1`;
  return rows.map(({ name }) => name);
}

describe.each([[], ["--jobs", "2"]])("with %p %p", (...options) => {
  const words = options.filter((word) => word !== undefined);

  test("a partitioned table is restored with its partitions of every level and schema, attached", async () => {
    const { sql, tables, rows } = await restore("--table", "ev", ...words);
    expect({ tables, rows }).toEqual({ tables: 4, rows: 3 });
    expect(await sql`select id, at::text from ev order by at`).toMatchObject([
      { id: 1, at: "2025-01-05" },
      { id: 1, at: "2025-02-05" },
      { id: 2, at: "2025-02-06" },
    ]);
    expect(await relations(sql)).toEqual(["ev", "ev_1", "parts.ev_2", "parts.ev_2_a"]);
    expect(await sql`select obj_description('ev'::regclass) as comment`).toMatchObject([
      { comment: "of all" },
    ]);
  });

  test("a table is restored with tables that inherit from it, but not with those that only refer to it", async () => {
    const { sql, tables, rows } = await restore("--table", "parent", ...words);
    expect({ tables, rows }).toEqual({ tables: 2, rows: 2 });
    expect(await sql`select i from parent order by i`).toMatchObject([{ i: 1 }, { i: 2 }]);
    expect(await relations(sql)).toEqual([`"In. herits (x)"."child ""of"`, "parent"]);
  });
});

test("partitions named beside their table are attached once", async () => {
  const { sql, tables, rows } = await restore("--table", "ev", "--table", "ev_1");
  expect({ tables, rows }).toEqual({ tables: 4, rows: 3 });
  expect(await sql`select from ev`).toHaveLength(3);
});

test("a partition alone is restored as a separate table, which is reported", async () => {
  const { sql, tables, rows, unattached } = await restore("--table", "ev_1");
  expect({ tables, rows, unattached }).toEqual({ tables: 1, rows: 1, unattached: ["public.ev_1"] });
  expect(await sql`select from ev_1`).toHaveLength(1);
});

test("a schema includes the partitions of its tables in other schemas, with their indexes", async () => {
  const { sql, rows } = await restore("--schema", "public");
  expect(await sql`select from ev`).toHaveLength(3);
  expect(rows).toBe(6);
  expect(await sql`select indisvalid from pg_index where indexrelid = 'ev_pkey'::regclass`).toMatchObject([
    { indisvalid: true },
  ]);
});

test("a schema with only partitions restores them as tables", async () => {
  const { sql, tables, rows, unattached } = await restore("--schema", "parts");
  expect({ tables, rows, unattached }).toEqual({ tables: 2, rows: 2, unattached: ["parts.ev_2"] });
  expect(await sql`select from parts.ev_2`).toHaveLength(2);
});

test("all rows are counted, and an empty table is no silent success", async () => {
  const { tables, rows } = await restore();
  expect({ tables, rows }).toEqual({ tables: 8, rows: 6 });
  const target = await postgres.createDatabase();
  const { stdout } = await installation.ok("restore", backup, "-t", `main/${target}`, "--table", "nothing");
  expect(stdout).toMatch(/restored .*: 1 table, 0 rows, /);
  expect(stdout).toContain("the backup has no rows in these tables");
});

test("a dry run reports the tables that would be restored", async () => {
  const words = ["restore", backup, "-t", "main/not_there", "--create", "--table", "ev", "--dry-run"];
  expect((await installation.ok(...words)).stdout).toMatch(/^would restore .*: 4 tables$/m);
});

test("the documented way to bring rows back includes the rows of partitions", async () => {
  const [app, restored] = [await postgres.createDatabase(), await postgres.createDatabase()];
  const table = `create table orders (id int, customer text, at int generated always as (id + 1) stored)
    partition by range (id);
    create table orders_1 partition of orders for values from (0) to (10);
    create table orders_2 partition of orders for values from (10) to (20)`;
  for (const name of [app, restored]) await postgres.connect(name).unsafe(table).simple();
  await postgres.connect(restored)`insert into orders values (1, 'a'), (11, E'b\nc')`;
  const page = await Bun.file(join(import.meta.dir, "../../../docs/recovery.md")).text();
  const commands = blocksBelow(page, "Rows were deleted or changed", ["sh"]).flatMap(commandsOf);
  const script = (commands.find((command) => command.includes("rescued")) ?? "")
    .replaceAll("sudo -u postgres psql", join(postgres.address.bin_dir, "psql"))
    .replace(/-d (app_restored|app)\b/g, (_, name) => `-d ${name === "app" ? app : restored}`);
  expect(script).not.toContain("sudo");
  const { user, password, port } = postgres.address;
  const env = { PGHOST: "127.0.0.1", PGPORT: `${port}`, PGUSER: user, PGPASSWORD: password };
  const shell = Bun.spawn(["bash", "-o", "pipefail", "-e"], {
    env: { ...env, PATH: process.env["PATH"] ?? "" },
    stdin: new Blob([script]),
    stdout: "pipe",
  });
  expect(await new Response(shell.stdout).text()).toEndWith("INSERT 0 2\n");
  expect(await shell.exited).toBe(0);
  expect(await postgres.connect(app)`select id, customer, at from orders order by id`).toMatchObject([
    { id: 1, customer: "a", at: 2 },
    { id: 11, customer: "b\nc", at: 12 },
  ]);
});
