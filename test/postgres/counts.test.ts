import { expect, test } from "bun:test";
import { endpointOfUrl } from "../../src/postgres/connection.ts";
import { isBetween } from "../../src/postgres/counts/facts.ts";
import { fillSampleDatabase } from "../lab/data/sample-database.ts";
import { usePostgres } from "../lab/servers/use-postgres.ts";
import { dumpAndCount, factsOf } from "./counting.ts";
import { contentsOfDump, restoreDump } from "./dumping.ts";
import { useTempDir } from "./temp-dir.ts";

const lab = usePostgres();
const temp = useTempDir();
const endpoint = (database: string) => endpointOfUrl(lab.url(database));

/** Every kind of relation, some with names that are hard to quote, and tables whose data a dump does not contain. */
const RELATIONS = `
create schema "a ""b""
c";
create table "a ""b""
c"."Ü 数据 '\\ ;--" (i int);
insert into "a ""b""
c"."Ü 数据 '\\ ;--" select generate_series(1, 17);
create table parent (i int);
create table child () inherits (parent);
insert into parent select generate_series(1, 5);
insert into child select generate_series(1, 7);
create table measured (at int, note text) partition by range (at);
create table measured_low partition of measured for values from (0) to (100);
create table measured_high partition of measured for values from (100) to (1000);
create index on measured (at);
insert into measured select i, 'n' from generate_series(0, 399) i;
create table secret (i int);
insert into secret select generate_series(1, 11);
alter table secret enable row level security;
alter table secret force row level security;
create table nothing ();
insert into nothing default values;
insert into nothing default values;
create table doubled (i int, twice int generated always as (i * 2) stored, id bigint generated always as identity);
insert into doubled (i) select generate_series(1, 13);
create unlogged table quick (i int);
insert into quick select generate_series(1, 19);
create foreign data wrapper nowhere;
create server elsewhere foreign data wrapper nowhere;
create foreign table far_away (i int) server elsewhere;
create materialized view seen as select * from parent;
create view shown as select * from child;
create table "referenced" (id int primary key, parent int references "referenced");
create function noted() returns trigger language plpgsql as 'begin return new; end';
create trigger noted before insert on measured for each row execute function noted();
create type span as range (subtype = int);
create domain small as int;
alter domain small add constraint below check (value < 1000) not valid;
alter table secret add constraint later check (i > 5) not valid;
create table counted_down (i int);
create sequence down increment by -3 maxvalue 100 start 100;
select nextval('down'), setval('down', 40);
`;

test("a dump's facts are those of its restore, although rows are written meanwhile", async () => {
  const [source, restored] = [await lab.createDatabase(), await lab.createDatabase()];
  const sql = lab.connect(source);
  await fillSampleDatabase(sql, 0.05);
  await sql.unsafe(RELATIONS).simple();
  let isWritten = true;
  const writing = (async () => {
    const writer = lab.connect(source);
    while (isWritten)
      await writer
        .unsafe(`insert into parent select generate_series(1, 3); insert into measured select 5, 'w';
          delete from child where ctid in (select ctid from child limit 1); insert into secret values (50);
          insert into doubled (i) values (1); select nextval('down'), nextval('shop.ticket')`)
        .simple();
  })();
  const { dump, facts } = await dumpAndCount(endpoint(source), temp.path);
  isWritten = false;
  await writing;
  await restoreDump(dump, endpoint(restored), temp.path);

  const found = await factsOf(endpoint(restored));
  const { moment: _, ...counted } = facts as NonNullable<typeof facts>;
  // On the disk a restored table is not as large as one that was written to.
  const tables = counted.tables.map((table) => ({ ...table, bytes: expect.any(Number) }));
  expect(found).toEqual({ ...counted, tables, sequences: expect.anything() } as unknown as typeof found);
  expect(facts?.problem).toBeNull();
  expect(new Set(facts?.tables.map(({ method }) => method))).toEqual(new Set(["exact"]));
  expect(found.sequences.length).toBe(facts?.sequences.length as number);
  for (const [i, { schema, name, after }] of found.sequences.entries()) {
    const reading = facts?.sequences[i];
    expect(reading).toMatchObject({ schema, name });
    expect(isBetween(after as NonNullable<typeof after>, reading as NonNullable<typeof reading>)).toBe(true);
  }
  const rowsOf = (name: string) => facts?.tables.find((table) => table.name === name)?.rows;
  expect([rowsOf("Ü 数据 '\\ ;--"), rowsOf("nothing"), rowsOf("quick"), rowsOf("secret")]).toEqual([
    17,
    2,
    19,
    expect.any(Number),
  ]);
  expect(facts?.invalid_indexes).toEqual([]);
  expect(facts?.unvalidated_constraints.map(({ table, name }) => [table, name])).toEqual([
    ["small", "below"],
    ["secret", "later"],
  ]);
});

test("counts the tables that have data in the dump, and of an extension's table the rows that are dumped", async () => {
  const database = await lab.createDatabase();
  const sql = lab.connect(database);
  await sql.unsafe(RELATIONS).simple();
  await sql
    .unsafe(`create extension hstore; create table settings (name text, is_builtin bool); create table internal (i int);
      create sequence own_numbers;
      insert into settings select i::text, i < 4 from generate_series(1, 9) i; insert into internal values (1);
      alter extension hstore add table settings; alter extension hstore add table internal;
      alter extension hstore add sequence own_numbers;
      update pg_extension set extconfig = array['settings'::regclass::oid, 'own_numbers'::regclass::oid],
        extcondition = array['where not is_builtin', ''] where extname = 'hstore'`)
    .simple();
  const { dump, facts } = await dumpAndCount(endpoint(database), temp.path);
  const entries = (await contentsOfDump(dump)).entries;
  const namesOf = (kind: string) =>
    entries
      .filter(({ description }) => description === kind)
      .map(({ namespace, tag }) => [String(namespace), tag]);
  expect(facts?.tables.map(({ schema, name }) => [schema, name]).sort()).toEqual(
    namesOf("TABLE DATA").sort(),
  );
  expect(facts?.sequences.map(({ schema, name }) => [schema, name]).sort()).toEqual(
    namesOf("SEQUENCE SET").sort(),
  );
  expect(facts?.tables.find(({ name }) => name === "settings")).toMatchObject({ rows: 6, method: "exact" });
});

test("a sequence that is locked is not read, and those beside it are", async () => {
  const database = await lab.createDatabase();
  const sql = lab.connect(database);
  await sql.unsafe("create sequence a; create sequence b; create sequence c; select nextval('c')").simple();
  const dropping = await lab.connect(database).reserve();
  await dropping.unsafe("begin; drop sequence b").simple();
  const { sequences, problem } = await factsOf(endpoint(database));
  await dropping.unsafe("rollback");
  dropping.release();
  const read = (is_called: boolean) => ({ last_value: "1", is_called });
  expect(problem).toBeNull();
  expect(sequences.map(({ name, before, after }) => [name, before, after])).toEqual([
    ["a", read(false), read(false)],
    ["b", null, null],
    ["c", read(true), read(true)],
  ]);
});

test("settings of the role and of the database disturb neither the dump nor its counts", async () => {
  const database = await lab.createDatabase();
  const [role, weak] = ["reader", "weak"].map((name) => `${name}_${crypto.randomUUID().slice(0, 8)}`);
  const admin = lab.connect();
  const sql = lab.connect(database);
  await sql
    .unsafe(`create table t as select generate_series(1, 9) as i; create schema evil;
    create view evil.pg_class as select 1 as oid`)
    .simple();
  await admin
    .unsafe(
      `create role ${role} login in role pg_read_all_data; create role ${weak}; grant ${weak} to ${role}`,
    )
    .simple();
  await admin.unsafe(`alter role ${role} password '${lab.address.password}'`);
  const settings = [
    "statement_timeout = '1ms'",
    "idle_in_transaction_session_timeout = '1ms'",
    "lock_timeout = '1ms'",
  ].concat([
    `role = ${weak}`,
    "search_path = evil, pg_catalog",
    "default_transaction_isolation = 'read committed'",
  ]);
  for (const setting of settings)
    await admin.unsafe(`alter role ${role} in database ${database} set ${setting}`);
  try {
    const { facts } = await dumpAndCount({ ...endpoint(database), user: role as string }, temp.path);
    expect(facts?.problem).toBeNull();
    expect(facts?.tables).toEqual([
      { schema: "public", name: "t", rows: 9, method: "exact", why: null, bytes: 8192 },
    ]);
  } finally {
    await admin.unsafe(`alter role ${role} in database ${database} reset all`);
  }
});
