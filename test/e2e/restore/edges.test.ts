import { expect, setDefaultTimeout, test } from "bun:test";
import { compareByName, usePostgres } from "../../lab/servers/use-postgres.ts";
import { useInstallation } from "../../lab/use-installations.ts";

/** Extreme databases: empty ones, and ones with very large values. */

setDefaultTimeout(180_000);
const postgres = usePostgres();

const installation = useInstallation(postgres, { more: '[compression]\nalgorithm = "zstd"\nlevel = 1' });

/** Backs a database up and restores it under another name; returns that name and the backup's record. */
async function roundTrip(source: string, ...words: string[]) {
  const backup = (await installation().ok("backup", source, "--json")).json.backups[0];
  const target = postgres.newName();
  await installation().ok("verify", backup.backup_id);
  await installation().ok("restore", backup.backup_id, "-t", `main/${target}`, "--create", ...words);
  return { target, backup };
}

async function expectEqual(source: string, target: string): Promise<void> {
  const { differences } = await compareByName(postgres, source, target);
  expect(differences).toEqual([]);
}

test.each([[], ["--jobs", "2"]])("an empty database (%s)", async (...words) => {
  const source = await postgres.createDatabase();
  const { target, backup } = await roundTrip(source, ...words);
  expect(backup).toMatchObject({ status: "VERIFIED" });
  await expectEqual(source, target);
});

test("a database without tables, with only schemas, types, functions and sequences", async () => {
  const source = await postgres.createDatabase();
  await postgres
    .connect(source)
    .unsafe(`create schema s; create type s.t as (a int, b text); create sequence s.n start 41; select nextval('s.n');
      create function s.f() returns int language sql as 'select 42'; comment on schema s is 'no tables'`)
    .simple();
  const { target } = await roundTrip(source);
  await expectEqual(source, target);
  expect(await postgres.connect(target)`select s.f() as f, nextval('s.n')::int as n`).toMatchObject([
    { f: 42, n: 42 },
  ]);
});

test("tables without rows, without columns, and with one row of nulls", async () => {
  const source = await postgres.createDatabase();
  await postgres
    .connect(source)
    .unsafe(
      "create table a (i int); create table b (); insert into b default values; create table c (i int, t text); insert into c default values",
    )
    .simple();
  const { target } = await roundTrip(source);
  await expectEqual(source, target);
});

test("a row of 200 MB", async () => {
  const source = await postgres.createDatabase();
  const sql = postgres.connect(source);
  // External storage: pglz would need seconds to find that it does not compress. The dump is twice as large, as hex.
  await sql
    .unsafe(
      "create table big (i int, bytes bytea, note text); alter table big alter bytes set storage external",
    )
    .simple();
  await sql.unsafe(`insert into big select 1, convert_to(string_agg(md5(i::text), ''), 'UTF8'), 'before and after'
    from generate_series(1, 200 * 1024 * 1024 / 32) i`);
  const { target, backup } = await roundTrip(source);
  expect(backup.dump_bytes).toBeGreaterThan(400 * 1024 * 1024);
  const facts = (name: string) =>
    postgres.connect(name)`select length(bytes) as length, md5(bytes) as md5, note from big`;
  const restored = [...(await facts(target))];
  expect(restored).toEqual([...(await facts(source))]);
  expect(restored).toMatchObject([{ length: 200 * 1024 * 1024 }]);
});

test("large objects: empty, of one page and of many pages, with owner, rights and comment", async () => {
  const source = await postgres.createDatabase();
  await postgres
    .connect(source)
    .unsafe(`do $$ begin create role sample_owner; exception when duplicate_object then null; end $$;
      select lo_create(1001), lo_from_bytea(1002, '\\x00'), lo_from_bytea(1003, decode(repeat('ab', 2048), 'hex')),
        lo_from_bytea(1004, decode(repeat(md5('x'), 300000), 'hex'));
      select lo_from_bytea(2000 + i, convert_to(md5(i::text), 'UTF8')) from generate_series(1, 500) i;
      alter large object 1002 owner to sample_owner; grant select on large object 1003 to sample_owner;
      comment on large object 1004 is 'four'`)
    .simple();
  for (const words of [[], ["--jobs", "2"]]) {
    const { target } = await roundTrip(source, ...words);
    await expectEqual(source, target);
    expect(
      await postgres.connect(target)`select count(*)::int as count from pg_largeobject_metadata`,
    ).toMatchObject([{ count: 504 }]);
  }
});
