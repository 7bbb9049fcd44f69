import { beforeAll, describe, expect, test } from "bun:test";
import type { SelectionSettings } from "../../src/config/database/settings.ts";
import { connect, endpointOfUrl } from "../../src/postgres/connection.ts";
import { leftOutText } from "../../src/postgres/counts/left-out.ts";
import type { SelectedTables } from "../../src/postgres/selected-tables.ts";
import { selectTables } from "../../src/postgres/selected-tables.ts";
import { usePostgres } from "../lab/servers/use-postgres.ts";
import { contentsOfDump, dumpToMemory } from "./dumping.ts";
import { useTempDir } from "./temp-dir.ts";

/** What a selection says of a dump, beside what pg_dump really writes. */

const postgres = usePostgres();
const tempDir = useTempDir();
let database: string;

const EVERYTHING: SelectionSettings = {
  ...{ include_schemas: [], include_tables: [], exclude_schemas: [], exclude_tables: [] },
  ...{ exclude_table_data: [], schema_only: false, pg_dump_options: [] },
};

beforeAll(async () => {
  database = await postgres.createDatabase();
  await postgres
    .connect(database)
    .unsafe(`
      create table kept (id serial primary key);
      create unlogged table cache (id serial primary key);
      create table log (id serial primary key);
      create materialized view report_1 as select 1 as i;
      create schema api; create function api.f() returns int language sql as 'select 1';
      create schema app; create function app.f() returns int language sql as 'select 1';
      insert into kept default values; insert into cache default values; insert into log default values;`)
    .simple();
});

async function select(settings: Partial<SelectionSettings>): Promise<SelectedTables | undefined> {
  await using connection = await connect(endpointOfUrl(postgres.url(database)));
  return await selectTables(connection, { ...EVERYTHING, ...settings });
}

const textOf = async (settings: Partial<SelectionSettings>) =>
  leftOutText((await select(settings))?.left_out);

describe("what is left out without any table is said", () => {
  test("schemas, views and everything beside an included schema", async () => {
    expect(await textOf({ exclude_schemas: ["api"] })).toBe('without the objects in exclude_schemas ("api")');
    expect(await textOf({ exclude_tables: ["report_*", "log"] })).toBe(
      'without table public.log, without the objects in exclude_tables ("report_*")',
    );
    expect(await textOf({ include_schemas: ["public"] })).toBe(
      'with only the objects in include_schemas ("public")',
    );
    expect(await textOf({ exclude_table_data: ["report_*"] })).toBe(
      'without the rows of the objects in exclude_table_data ("report_*")',
    );
  });

  test("but not a pattern that matches nothing", async () => {
    expect(await textOf({ exclude_schemas: ["nothing"], exclude_tables: ["nothing"] })).toBeUndefined();
  });
});

test("excludes that leave nothing fail like includes", async () => {
  const failed = { message: expect.stringContaining("leave nothing to dump") };
  expect(await select({ exclude_schemas: ["*"] }).catch((error) => error)).toMatchObject({
    ...failed,
    hint: expect.stringContaining('"*"'),
  });
  expect(
    await select({ exclude_tables: ["*"], exclude_schemas: ["a*"] }).catch((error) => error),
  ).toMatchObject(failed);
  // The functions of a schema are worth a backup.
  expect(await select({ exclude_tables: ["*"] })).toBeDefined();
});

test.each([
  ["functions", "create function f() returns int language sql as 'select 1'", "FUNCTION"],
  ["types", "create type mood as enum ('ok')", "TYPE"],
  ["composite types", "create type pair as (a int, b int)", "TYPE"],
  ["extensions", "create extension hstore", "EXTENSION"],
  ["large objects", "select lo_from_bytea(0, 'x')", "BLOBS"],
])("a database whose tables are all excluded is dumped if it has %s", async (_, made, kind) => {
  const name = await postgres.createDatabase();
  await postgres.connect(name).unsafe(`create table cache_1 (id serial primary key); ${made}`).simple();
  const endpoint = endpointOfUrl(postgres.url(name));
  await using connection = await connect(endpoint);
  const exclude_tables = ["cache_*"];
  for (const include_schemas of [[], ["public"]]) {
    const selected = await selectTables(connection, { ...EVERYTHING, exclude_tables, include_schemas });
    if (!selected) throw new Error("expected a selection");
    const { entries } = await contentsOfDump(await dumpToMemory(endpoint, tempDir.path, { selected }));
    const kinds = entries.map(({ description }) => description);
    expect(kinds).toContain(kind);
    expect(kinds).not.toContain("TABLE");
  }
  const none = { ...EVERYTHING, exclude_tables, include_tables: exclude_tables };
  expect(await selectTables(connection, none).catch((error) => error)).toMatchObject({
    message: expect.stringContaining("leave nothing to dump"),
  });
});

test("an option that would drop large objects and more is refused without include_tables", async () => {
  const error = await select({ pg_dump_options: ["--extension=plpgsql"] }).catch((caught) => caught);
  expect(error).toMatchObject({ code: "usage", message: expect.stringContaining("--extension") });
});

test("the rows and values that a selection announces are those that pg_dump writes", async () => {
  for (const settings of [
    { pg_dump_options: ["--no-unlogged-table-data"] },
    { exclude_table_data: ["log"] },
    { exclude_tables: ["kept"] },
    { include_tables: ["log"] },
  ]) {
    const selected = await select(settings);
    if (!selected) throw new Error("expected a selection");
    const endpoint = endpointOfUrl(postgres.url(database));
    const { entries } = await contentsOfDump(await dumpToMemory(endpoint, tempDir.path, { selected }));
    const dumped = (kind: string) =>
      entries.flatMap(({ description, tag }) => (description === kind ? [tag] : [])).toSorted();
    const tables = ["cache", "kept", "log"];
    expect(tables.filter((name) => selected.hasRows("public", name))).toEqual(dumped("TABLE DATA"));
    const sequences = tables.map((name) => `${name}_id_seq`);
    expect(sequences.filter((name) => selected.hasRows("public", name))).toEqual(dumped("SEQUENCE SET"));
  }
  const unlogged = await select({ pg_dump_options: ["--no-unlogged-table-data"] });
  expect(unlogged?.left_out.rows_of).toEqual([{ schema: "public", name: "cache" }]);
});

test("an option gets the name that this version of pg_dump knows; one that it does not know is named", async () => {
  const name = await postgres.createDatabase();
  await postgres.connect(name).unsafe("create table t (i int); select lo_from_bytea(0, 'x')").simple();
  const endpoint = endpointOfUrl(postgres.url(name));
  await using connection = await connect(endpoint);
  const dumped = async (option: string) => {
    const settings = { ...EVERYTHING, include_tables: ["t"], pg_dump_options: [option] };
    const selected = await selectTables(connection, settings);
    const { entries } = await contentsOfDump(await dumpToMemory(endpoint, tempDir.path, { selected }));
    return entries.map(({ description }) => description);
  };
  for (const option of ["--large-objects", "--blobs"]) expect(await dumped(option)).toContain("BLOBS");
  for (const option of ["--no-large-objects", "--no-blobs"])
    expect(await dumped(option)).not.toContain("BLOBS");
  expect(await dumped("--no-such-option").catch((error) => error)).toMatchObject({
    message: expect.stringContaining("unrecognized option '--no-such-option'"),
    hint: expect.stringContaining("pg_dump_options"),
  });
});
