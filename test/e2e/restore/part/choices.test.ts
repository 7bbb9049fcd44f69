import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createReadStream } from "node:fs";
import { join } from "node:path";
import { openArchive } from "../../../../src/postgres/archive/archive.ts";
import { cutsOf } from "../../../../src/postgres/archive/cuts.ts";
import type { ArchiveContents } from "../../../../src/postgres/archive/format.ts";
import { requireSelected } from "../../../../src/postgres/archive/require-selected.ts";
import { selectedEntries } from "../../../../src/postgres/archive/selection.ts";
import { entryName } from "../../../../src/postgres/archive/table-parts.ts";
import { fillTortureDatabase } from "../../../lab/data/torture-database.ts";
import { Installation, localStorage } from "../../../lab/installation.ts";
import { compareByName, usePostgres } from "../../../lab/servers/use-postgres.ts";

/** What the options that choose and exclude select, in a database with all kinds of objects and names. */

setDefaultTimeout(120_000);
const postgres = usePostgres();
let installation: Installation;
let source: string;
let backup: string;
let contents: ArchiveContents;

beforeAll(async () => {
  source = await postgres.createDatabase();
  await fillTortureDatabase(postgres.connect(source));
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [source],
    storages: (directory) => [localStorage("disk", directory)],
  });
  backup = await installation.backUp();
  const file = join(installation.directory, "plain.dump");
  await installation.ok("restore", backup, "--output", file);
  await using archive = await openArchive(createReadStream(file));
  contents = archive.contents;
});
afterAll(() => installation[Symbol.asyncDispose]());

const run = (target: string, ...words: string[]) =>
  installation.run("restore", backup, "-t", `main/${target}`, "--json", ...words);

async function created(...words: string[]) {
  const target = postgres.newName();
  return { target, ...(await run(target, "--create", ...words)) };
}

async function listed(...words: string[]): Promise<string[]> {
  const { exitCode, json, stderr } = await run("not_there", "--create", "--dry-run", ...words);
  expect({ exitCode, stderr: exitCode === 0 ? "" : stderr }).toEqual({ exitCode: 0, stderr: "" });
  return json.entries;
}

const tablesIn = (entries: string[]) =>
  entries
    .filter((entry) => entry.startsWith("TABLE DATA "))
    .map((entry) => entry.slice("TABLE DATA ".length));

describe("patterns", () => {
  test.each([
    ["orders", ["public.orders", "side.orders"]],
    ["side.orders", ["side.orders"]],
    ["side.order?", ["side.orders"]],
    ["star*", ["a.b.star*", "a.b.starling"]],
    ["star\\*", ["a.b.star*"]],
    ['"star*"', ["a.b.star*"]],
    ['"a.b"."c.d"', ["a.b.c.d"]],
    ["c.d", ["a.b.c.d"]],
    ["==", ["*.="]],
    ['"*".*', ["*.="]],
    ["Mixed Case.*", ['Mixed Case.Odd.Table "x"']],
  ])("--table %s", async (pattern, tables) => {
    const selection = { schemas: [], tables: [pattern] };
    requireSelected(contents, selection);
    const entries = selectedEntries(contents, selection, cutsOf(contents, selection));
    expect(tablesIn(entries.map(entryName))).toEqual(tables);
  });

  test.each([
    [{ tables: ["side.order"] }, 'no table "side.order"', "did you mean side.orders or shop.Order?"],
    [{ tables: ["sied.orders"] }, 'no table "sied.orders"', "did you mean public.orders or side.orders?"],
    [{ excludeTables: ["nothing_*"] }, 'no table that matches "nothing_*"', "list its contents"],
    [{ excludeTableData: ["custmer"] }, 'no table "custmer"', "did you mean customer?"],
    [{ excludeSchemas: ["shoop"] }, 'no schema "shoop"', "did you mean shop?"],
    [{ tables: ["a.b.*"] }, 'no table "a.b.*"', "write a name that contains a dot in double quotes"],
    [{ tables: ["side.["] }, '"[" is not a valid glob', "every [ needs its ]"],
    [{ tables: ["side.*"], excludeSchemas: ["side", "a.b"] }, "nothing of the backup would be restored", ""],
  ])("%j is a mistake", (given, message, hint) => {
    const check = () => requireSelected(contents, { schemas: [], tables: [], ...given });
    expect(check).toThrow(
      expect.objectContaining({
        code: "usage",
        message: expect.stringContaining(message),
        hint: expect.stringContaining(hint),
      }),
    );
  });

  test("a mistake is exit 2, before the target is looked at", async () => {
    const { exitCode, stderr } = await run("not_there", "--exclude-table", "side.order", "--table", "orders");
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 2 });
    expect(stderr).toContain('the backup contains no table "side.order"\nhint: did you mean side.orders');
  });
});

describe("excluded tables and the same tables chosen", () => {
  test.each([
    [["side.parent", "side.item", "whole_rows"]],
    [["side.parts", '"a.b".*', "orders"]],
    [["shop.*"]],
    [["log.event", '"Mixed Case".*', '"*"."="']],
  ])("make the whole database: %j", async (tables) => {
    const without = await created(...tables.flatMap((one) => ["--exclude-table", one]));
    expect(without.exitCode).toBe(without.json.left_out.length > 0 ? 3 : 0);
    const whole = async (patterns: string[]) => {
      const words = patterns.flatMap((one) => ["--table", one]);
      const { exitCode, stderr, json } = await run(without.target, "--into-existing", ...words);
      expect({ exitCode, stderr: exitCode === 0 ? "" : stderr }).toEqual({ exitCode: 0, stderr: "" });
      return json.missing_dependents as { table: string | null; sql: string | null }[];
    };
    // What the report names completes the rest.
    const missing = await whole(tables);
    const sql = postgres.connect(without.target);
    for (const one of missing) if (one.sql) await sql.unsafe(one.sql).simple();
    const views = missing.flatMap(({ table }) => table ?? []);
    if (views.length > 0) expect(await whole(views)).toEqual([]);
    const { differences } = await compareByName(postgres, source, without.target);
    expect(differences).toEqual([]);
  });
});

test("a table that cannot exist without an excluded one is named before anything is created", async () => {
  const { exitCode, stderr } = await run("not_there", "--create", "--exclude-table", "side.parent");
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 10 });
  expect(stderr).toContain(
    "it lacks table side.parent, which table side.whole_rows needs; nothing was changed",
  );
});

test("a sequence that only a default uses comes along, and an existing one keeps its position", async () => {
  const target = await postgres.createDatabase();
  const sql = postgres.connect(target);
  await sql
    .unsafe(
      "create schema side; create function side.twice(int) returns int language sql immutable as 'select 2 * $1'",
    )
    .simple();
  const restore = () => run(target, "--table", "side.parent", "--into-existing");
  const { exitCode, json } = await restore();
  // The function of the trigger is missing, but nothing for the default.
  expect({ exitCode, left: json.left_out.length }).toEqual({ exitCode: 3, left: 1 });
  const position = () => sql`select last_value::int as at from side.shared`;
  expect(await position()).toMatchObject([{ at: 110 }]);
  await sql.unsafe("drop table side.parent cascade; select setval('side.shared', 500)").simple();
  expect((await restore()).exitCode).toBe(3);
  expect(await position()).toMatchObject([{ at: 500 }]);
});

test("a schema is excluded with all that is in it and partitions of its tables elsewhere", async () => {
  const entries = await listed("--exclude-schema", "side", "--exclude-schema", "*log*");
  expect(entries.filter((entry) => /\b(side|log)\.|a\.b\.part/.test(entry))).toEqual([]);
  expect(tablesIn(entries)).toContain("shop.customer");
});

test("--schema-only and then --data-only make the whole database, rows in the order of the foreign keys", async () => {
  const { target, exitCode, json } = await created("--schema-only");
  expect({ exitCode, rows: json.rows }).toEqual({ exitCode: 0, rows: 0 });
  const dry = await run(target, "--data-only", "--dry-run");
  const tables = tablesIn(dry.json.entries);
  expect(tables.indexOf("shop.Order")).toBeGreaterThan(tables.indexOf("shop.customer"));
  expect(dry.json.notes.join("\n")).toContain("in the order of their foreign keys");
  const { stderr, ...filled } = await run(target, "--data-only");
  expect({ exitCode: filled.exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  const sql = postgres.connect(target);
  await sql
    .unsafe("refresh materialized view shop.revenue_by_day; refresh materialized view side.sums")
    .simple();
  expect((await compareByName(postgres, source, target)).differences).toEqual([]);
  const again = await run(target, "--data-only", "--table", "side.orders");
  expect(again.exitCode).toBe(10);
  expect(again.stderr).toMatch(
    /side\.orders holds rows already; nothing was changed\nhint: add the rows of the backup to them with --into-existing/,
  );
  const parallel = await run(target, "--data-only", "--table", "shop.*", "--into-existing", "--jobs", "2");
  expect(parallel.stderr).toMatch(/foreign keys.*\nhint: leave out --jobs/);
});

test("--data-only tells what happens, never sets a sequence back, and changes nothing if it fails", async () => {
  const schema = ["--create", "--schema", "side", "--schema-only"].concat([
    ...["--exclude-table", "side.item", "--exclude-table", "side.orders"],
  ]);
  const target = postgres.newName();
  const refused = await run(target, ...schema);
  expect(refused.stderr).toContain("it lacks server nowhere, which foreign table side.far needs");
  expect((await run(target, ...schema, "--exclude-table", "distant")).stderr).toBe("");
  const sql = postgres.connect(target);
  await sql.unsafe("select setval('side.parent_id_seq', 50)");
  const lacking = await run(target, "--data-only", "--table", "side.*", "--dry-run");
  expect(lacking.json.obstacles).toMatchObject([
    {
      kind: "needs",
      message: expect.stringContaining("it lacks table side.item, table side.near, table side.orders"),
    },
  ]);
  const words = ["--data-only", "--table", "side.parent", "--exclude-table-data", "side.child"];
  const { exitCode, json } = await run(target, ...words);
  expect({ exitCode, rows: json.rows }).toEqual({ exitCode: 0, rows: 10 });
  expect(json.notes).toEqual([
    "triggers run for each row: touch on side.parent",
    "sequences that are further than in the backup keep their position: side.parent_id_seq",
  ]);
  expect(await sql`insert into side.parent (no) values (0) returning id`).toMatchObject([{ id: 51 }]);
  const again = await run(target, ...words, "--into-existing");
  expect(again.exitCode).toBe(10);
  expect(again.stderr).toMatch(/duplicate key.*\n.*nothing of database ".*" was changed/s);
  await sql.unsafe("alter table side.parent drop column total cascade");
  const narrower = await run(target, ...words, "--into-existing");
  expect(narrower.stderr).toContain("it lacks column total of table side.parent");
});

test("--no-indexes keeps keys, and names a foreign key that needs an index", async () => {
  const { target, exitCode, json } = await created("--no-indexes");
  expect(exitCode).toBe(3);
  expect(json.left_out).toMatchObject([
    {
      entry: "FK CONSTRAINT side.item item_parent_item_fkey",
      reason: "it needs index side.parent_total, which the target lacks",
    },
  ]);
  const sql = postgres.connect(target);
  const indexes = await sql`select indexrelid::regclass::text as name from pg_index
    where indrelid::regclass::text like 'side.%' and not exists (select from pg_constraint where conindid = indexrelid)`;
  expect(indexes).toHaveLength(0);
  expect(
    await sql`select from pg_constraint where conname in ('parent_pkey', 'item_parent_fkey')`,
  ).toHaveLength(2);
});

test("--exclude-table-data restores the table without its rows, and those of its partitions", async () => {
  const entries = await listed("--exclude-table-data", "side.p*", "--exclude-table-data", "revenue_by_day");
  expect(tablesIn(entries).filter((name) => /^side\.p|part_1_a|child/.test(name))).toEqual([]);
  expect(entries).toContain("TABLE a.b.part_1_a");
  expect(entries).toContain("MATERIALIZED VIEW shop.revenue_by_day");
  expect(entries).not.toContain("MATERIALIZED VIEW DATA shop.revenue_by_day");
  const { target, json } = await created("--table", "side.parts", "--exclude-table-data", "parts");
  expect(json).toMatchObject({ outcome: "OK", tables: 3, rows: 0, empty_tables: [] });
  expect(await postgres.connect(target)`select from side.parts`).toHaveLength(0);
});

test("a table without the rows that the backup recorded is reported: exit 3", async () => {
  const target = await postgres.createDatabase();
  await postgres
    .connect(target)
    .unsafe(`create schema side; create table side.orders (i int);
      create function nothing() returns trigger language plpgsql as 'begin return null; end';
      create trigger nothing before insert on side.orders for each row execute function nothing()`)
    .simple();
  const words = ["--table", "side.orders", "--data-only"];
  const { exitCode, json } = await run(target, ...words);
  expect({ exitCode, outcome: json.outcome }).toEqual({ exitCode: 3, outcome: "PARTIAL" });
  expect(json.empty_tables).toEqual([{ table: "side.orders", rows_recorded: 1 }]);
  const { stdout } = await installation.run("restore", backup, "-t", `main/${target}`, ...words);
  expect(stdout).toContain("empty side.orders: it holds no rows, but the backup recorded 1");
});

test("a restore that brings no table at all has failed: exit 10", async () => {
  const target = await postgres.createDatabase();
  await postgres.connect(target).unsafe("create schema side; create table side.orders (other text)").simple();
  const words = ["--table", "side.orders", "--into-existing", "--keep-going"];
  const { exitCode, json } = await run(target, ...words);
  expect({ exitCode, outcome: json.outcome, tables: json.tables }).toEqual({
    exitCode: 10,
    outcome: "FAILED",
    tables: 0,
  });
  expect(json.errors.length).toBeGreaterThan(0);
});
