import { expect, test } from "bun:test";
import { Secret } from "../../src/base/secret.ts";
import { connect, endpointOfUrl } from "../../src/postgres/connection.ts";
import { targetRoles } from "../../src/postgres/globals/apply.ts";
import { contentsOfDatabase } from "../../src/postgres/inspect.ts";
import { createRoles } from "../../src/postgres/restore/create-roles.ts";
import { createDatabase, finishDatabase, preflight } from "../../src/postgres/restore/preflight.ts";
import { compareDatabases } from "../lab/data/compare-databases.ts";
import { usePostgres } from "../lab/servers/use-postgres.ts";
import { contentsOfDump, dumpToMemory, lacksOf, restoreDump } from "./dumping.ts";
import { useSampleDump } from "./sample-dump.ts";
import { useTempDir } from "./temp-dir.ts";

const lab = usePostgres();
const temp = useTempDir();
const sample = useSampleDump(lab, temp);
const endpoint = (database: string) => endpointOfUrl(lab.url(database));

test("finds the target's lacks, and the restore fails on them", async () => {
  const source = await lab.createDatabase();
  const [owner, grantee] = [`owner_${source}`, `Grantee ${source}`];
  const admin = lab.connect();
  const sql = lab.connect(source);
  await sql
    .unsafe(
      `create role ${owner}; create role "${grantee}"; create extension hstore; create table t (h hstore);
       alter table t owner to ${owner}; grant select on t to "${grantee}"`,
    )
    .simple();
  await sql.unsafe("set allow_in_place_tablespaces = on");
  await sql.unsafe(`create tablespace space_${source} location ''`);
  await sql.unsafe(`create table elsewhere () tablespace space_${source}`);
  const dump = await dumpToMemory(endpoint(source), temp.path);
  await sql
    .unsafe(`drop table t, elsewhere; drop owned by ${owner}, "${grantee}"; drop role ${owner}, "${grantee}"`)
    .simple();
  await admin.unsafe(`drop tablespace space_${source}`);
  // The same archive with an extension that no server has.
  const unknown = Buffer.from(dump.toString("latin1").replaceAll("hstore", "hstorx"), "latin1");

  const empty = await lab.createDatabase();
  await using target = await connect(endpoint(empty));
  const contents = await contentsOfDump(unknown);
  const lacks = await lacksOf(target, contents, { create: false });
  expect(lacks.map(({ kind, name }) => [kind, name])).toEqual([
    ["role", grantee],
    ["role", owner],
    ["extension", "hstorx"],
    ["tablespace", `space_${source}`],
  ]);
  expect(lacks[0]?.sql).toBe(`CREATE ROLE "${grantee}";`);
  // Rows go into tables that exist, whoever owned them.
  const rows = contents.entries.filter(({ description }) => description === "TABLE DATA");
  expect(rows.map(({ owner: of }) => of)).toContain(owner);
  expect(await preflight(target, contents, { entries: rows, create: false })).toEqual([]);
  expect(await contentsOfDatabase(target)).toEqual([]);

  await expect(restoreDump(unknown, endpoint(empty), temp.path)).rejects.toThrow(/hstorx/);
  await expect(restoreDump(dump, endpoint(empty), temp.path)).rejects.toThrow(/space_|owner_/);
});

test("checks the database's own needs only if it is to be created", async () => {
  const contents = await contentsOfDump(sample.dump);
  const renamed = structuredClone(contents);
  for (const entry of renamed.entries) if (entry.description === "DATABASE") entry.owner = "gone";
  await using target = await connect(endpoint("postgres"));
  const lacks = (create: boolean) => lacksOf(target, renamed, { create });
  expect(await lacks(false)).toEqual([]);
  expect(await lacks(true)).toMatchObject([{ kind: "role", name: "gone" }]);
  // No half-created database is left.
  await expect(createDatabase(target, renamed, "half_made")).rejects.toMatchObject({ code: "database" });
  expect(
    await target.run("look", (sql) => sql`select from pg_database where datname = 'half_made'`),
  ).toHaveLength(0);
});

test("a target older than the source is reported", async () => {
  const contents = { ...(await contentsOfDump(sample.dump)), serverVersion: "99.1" };
  await using target = await connect(endpoint("postgres"));
  expect(await lacksOf(target, contents, { create: false })).toMatchObject([
    { kind: "version", hint: "the dump comes from PostgreSQL 99" },
  ]);
});

test("a role without superuser rights restores its own objects, and gets a list of the others", async () => {
  const role = `plain_${crypto.randomUUID().slice(0, 8)}`;
  const admin = lab.connect();
  await admin.unsafe(`create role ${role} login createdb password 'plain'`);
  const as = (database: string) => ({ ...endpoint(database), user: role, password: new Secret("plain") });
  const [source, restored] = [`${role}_source`, `${role}_restored`];
  for (const name of [source, restored]) lab.dropAtEnd(name);
  await admin.unsafe(`create database ${source} owner ${role} template template0`);
  {
    await using own = await connect(as(source));
    const objects =
      "create extension hstore with schema public; create table public.t as select 'a=>1'::public.hstore as h";
    await own.run("fill", (sql) => sql.unsafe(objects).simple());
  }
  await using target = await connect(as("postgres"));
  const foreign = await lacksOf(target, await contentsOfDump(sample.dump), { create: true });
  expect(foreign.map(({ kind, name }) => [kind, name])).toEqual([
    ["membership", "postgres"],
    ["membership", "sample_owner"],
  ]);
  expect(foreign.map(({ sql }) => sql)).toEqual([null, `GRANT "sample_owner" TO "${role}";`]);

  const dump = await dumpToMemory(as(source), temp.path);
  const contents = await contentsOfDump(dump);
  expect(await lacksOf(target, contents, { create: true })).toEqual([]);
  await createDatabase(target, contents, restored);
  await restoreDump(dump, as(restored), temp.path);
  await finishDatabase(target, contents, restored);
  expect((await compareDatabases(lab.connect(source), lab.connect(restored))).differences).toEqual([]);
});

test("databases that are restored at once may need the same roles", async () => {
  const database = await lab.createDatabase();
  const names = Array.from({ length: 20 }, (_, i) => `shared "${i}" ${database}`);
  const admin = lab.connect();
  const quoted = names.map((name) => `"${name.replaceAll('"', '""')}"`);
  // The target was checked before, and another restore has created one since, with a login.
  await admin.unsafe(`create role ${quoted[3]} login`);
  await using one = await connect(endpoint(database));
  await using other = await connect(endpoint(database));
  await Promise.all([createRoles(one, names), createRoles(other, names.toReversed())]);
  const rows = await admin`select rolname, rolcanlogin from pg_roles where rolname in ${admin(names)}`;
  expect(rows).toHaveLength(20);
  expect(rows.filter(({ rolcanlogin }) => rolcanlogin).map(({ rolname }) => rolname)).toEqual([names[3]]);
  await admin.unsafe(`drop role ${quoted.join(", ")}`);
});

test("a member of a superuser, also through another role, counts as a superuser of the target", async () => {
  const database = await lab.createDatabase();
  const [chief, deputy, clerk, guest] = ["chief", "deputy", "clerk", "guest"].map(
    (one) => `${one}_${database}`,
  );
  const admin = lab.connect();
  await admin.unsafe(
    `create role ${chief} superuser; create role ${deputy} in role ${chief};
     create role ${clerk} noinherit in role ${deputy}; create role ${guest}`,
  );
  await using target = await connect(endpoint(database));
  const { superusers } = await targetRoles(target);
  expect([chief, deputy, clerk, guest].map((name) => superusers.has(name ?? ""))).toEqual([
    ...[true, true, true],
    false,
  ]);
  await admin.unsafe(`drop role ${clerk}, ${deputy}, ${chief}, ${guest}`);
});
