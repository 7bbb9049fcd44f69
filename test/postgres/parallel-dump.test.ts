import { expect, test } from "bun:test";
import { endpointOfUrl } from "../../src/postgres/connection.ts";
import { usePostgres } from "../lab/servers/use-postgres.ts";
import { contentsOfDump, dumpToMemory } from "./dumping.ts";
import { dumpInStreams, listOf } from "./parallel.ts";
import { useTempDir } from "./temp-dir.ts";

const lab = usePostgres();
const temp = useTempDir();
const endpoint = (database: string) => endpointOfUrl(lab.url(database));

/** Objects whose data is easily lost or dumped twice, and names with every character that a pattern treats specially. */
const ODD = `
  create schema "s.1"; create schema "a*b$"; create schema "Q""uo.te"; create schema "x|y";
  create table "s.1"."t.a" (id serial, x int); insert into "s.1"."t.a" values (1, 2);
  create table "s.1"."t*" (id int generated always as identity, x int); insert into "s.1"."t*" (x) values (7), (8);
  create table "s.1"."tab" (x int); create table "s.1"."t?b" (x int); create table "s.1"."s.1.t*" (x int);
  create table "a*b$"."$d(o){l}[ar]" (x int); create table "a*b$"."|pi|pe" (); create table "aab" (x int);
  create table "Q""uo.te"."new\nline" (x int); create table "Q""uo.te"."back\\slash" (x int);
  create table "Q""uo.te"."***=x" (x int); create table "Q""uo.te"."""" (x int); create table "x|y"."^$" (x int);
  create table "UPPER" (x int); create table "upper" (x int); create table "größe 🐘" (x int); create table "-t" (x int);
  create sequence free start 5; create sequence "fr.ee*";
  create table p (k int generated always as identity, v text) partition by range (k);
  create table p1 partition of p for values from (0) to (10);
  create table p2 partition of p for values from (10) to (30) partition by range (k);
  create table p21 partition of p2 for values from (10) to (30);
  insert into p (v) select 'x' from generate_series(1, 19);
  create table par (a int); create table chi (b int) inherits (par); insert into chi values (1, 2); insert into par values (3);
  create unlogged table ul (a int); create table nocol (); insert into nocol default values; insert into nocol default values;
  create foreign data wrapper dummy; create server srv foreign data wrapper dummy; create foreign table ft (a int) server srv;
  create materialized view mv as select * from p; create index on mv (k); create view vv as select * from p;
  select lo_create(4711); select lo_put(4711, 0, 'hello'); comment on large object 4711 is 'c';
  grant select on large object 4711 to public;
  create table idx (a int primary key, b int references idx); create sequence ownedelse owned by idx.a;
  alter table idx add constraint positive check (a > 0) not valid; create statistics st on a, b from idx;`;

test("every entry of a plain dump is in exactly one archive, whatever its name", async () => {
  const database = await lab.createDatabase();
  await lab.connect(database).unsafe(ODD).simple();
  await lab.connect(database).unsafe(`alter database ${database} set work_mem = '5MB';
    comment on database ${database} is 'c'; grant connect on database ${database} to postgres`);
  const plain = listOf(await contentsOfDump(await dumpToMemory(endpoint(database), temp.path)));
  for (const groupBytesMin of [1, 16 * 1024 * 1024]) {
    const { members } = await dumpInStreams(endpoint(database), temp.path, { jobs: 3, groupBytesMin });
    const lists = await Promise.all(members.map(async ({ bytes }) => listOf(await contentsOfDump(bytes))));
    expect(lists.flat().sort()).toEqual(plain.sort());
    expect(members.map(({ kind }) => kind)).toEqual(["schema", ...Array(members.length - 1).fill("data")]);
    if (groupBytesMin === 1) expect(members.length).toBeGreaterThan(8);
    else expect(members.length).toBe(2);
  }
});
