import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { Installation, localStorage } from "../../../lab/installation.ts";
import { usePostgres } from "../../../lab/servers/use-postgres.ts";

/** Restores by a role that is no superuser, as on RDS, Cloud SQL, Azure and Supabase: what fails is known before. */

setDefaultTimeout(120_000);
const suffix = crypto.randomUUID().slice(0, 8);
const [low, weak, owner, group] = ["low", "weak", "owner", "group"].map((name) => `${name}_${suffix}`);
// Before the server may stop.
afterAll(async () => {
  await installation[Symbol.asyncDispose]();
  const admin = postgres.connect();
  for (const name of databases) await admin.unsafe(`drop database if exists ${name} with (force)`);
  await admin.unsafe(`drop role ${low}, ${weak}, ${owner}, ${group}`);
});
const postgres = usePostgres();
let installation: Installation;
let portable: string;
const databases: string[] = [];

beforeAll(async () => {
  await postgres
    .connect()
    .unsafe(
      `create role ${low} login password 'p' createdb createrole; create role ${weak} login password 'p';
       create role ${owner}; create role ${group}; grant ${group} to ${low}`,
    )
    .simple();
  const superior = await database();
  await postgres
    .connect(superior)
    .unsafe(
      `create table kept (i int); insert into kept values (1); alter table kept owner to ${owner};
       create function quiet() returns event_trigger language plpgsql as 'begin end';
       create event trigger watcher on ddl_command_end execute function quiet();
       create publication everything for all tables;
       create extension citext;
       create function in_c(citext, citext) returns bool language c as '$libdir/citext', 'citext_eq';
       create function leaky(int) returns int language sql leakproof as 'select 1';
       create extension pg_stat_statements`,
    )
    .simple();
  portable = await database();
  await postgres
    .connect(portable)
    .unsafe(
      `create extension pg_stat_statements; create extension citext;
       create table orders (id int primary key, name citext); insert into orders values (1, 'a');
       comment on table orders is 'mine'; alter table orders owner to ${owner};
       grant select on orders to ${group};
       alter default privileges for role ${owner} grant select on tables to ${group};
       create view slow as select query from pg_stat_statements; comment on view slow is 'slow ones'`,
    )
    .simple();
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [superior, portable],
    storages: (directory) => [localStorage("disk", directory)],
  });
  await installation.ok("backup");
});

async function database(...properties: string[]): Promise<string> {
  const name = await postgres.createDatabase();
  databases.push(name);
  for (const property of properties) await postgres.connect().unsafe(`alter database ${name} ${property}`);
  return name;
}

const url = (role: string | undefined, name: string) =>
  `postgres://${role}:p@127.0.0.1:${postgres.address.port}/${name}`;
const ADAPTED = ["--no-owner", "--no-privileges", "--no-comments", "--skip-extension", "pg_stat_statements"];
const relations = (name: string) => postgres.connect(name)<
  { relname: string; owner: string; acl: string | null; comment: string | null }[]
>`select relname, pg_get_userbyid(relowner) as owner, relacl::text as acl, obj_description(oid) as comment
  from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'v')
  and not exists (select from pg_depend where objid = pg_class.oid and deptype = 'e') order by relname`;

test("what the role may not restore is named before anything is changed", async () => {
  const target = await database(`owner to ${low}`);
  const words = ["restore", "-d", databases[0] as string, "-t", url(low, target)];
  const dry = await installation.run(...words, "--dry-run", "--json");
  expect(dry.exitCode).toBe(10);
  const names = (kind: string) =>
    dry.json.lacks.flatMap((one: { kind: string; name: string }) => (one.kind === kind ? one.name : []));
  expect(names("membership")).toContain(owner);
  expect(names("right").toSorted()).toEqual(
    [
      "event trigger watcher",
      "extension pg_stat_statements",
      "function public.in_c(public.citext, public.citext)",
      "function public.leaky(integer)",
      "publication everything",
    ].toSorted(),
  );
  expect(dry.json.obstacles.map(({ kind }: { kind: string }) => kind)).toEqual(["lacks", "rights"]);
  const real = await installation.run(...words, "--no-owner");
  expect(real.exitCode).toBe(10);
  expect(real.stderr).toContain(`role "${low}" may not restore`);
  expect(real.stderr).toContain("restore with --skip-extension pg_stat_statements");
  expect(await relations(target)).toHaveLength(0);
  // Exactly these fail if the restore goes on.
  const going = await installation.run(...words, "--no-owner", "--no-comments", "--keep-going", "--json");
  expect(going.exitCode).toBe(3);
  expect(going.json.errors.map(({ entry }: { entry: string }) => entry).toSorted()).toEqual([
    "EVENT TRIGGER watcher",
    "EXTENSION pg_stat_statements",
    "FUNCTION public.in_c(public.citext, public.citext)",
    "FUNCTION public.leaky(integer)",
    "PUBLICATION everything",
  ]);
});

test("a restore without owners, rights, comments and an extension", async () => {
  const target = await database(`owner to ${low}`);
  const words = ["restore", "-d", portable, "-t", url(low, target)];
  const dry = await installation.run(...words, "--dry-run", "--json");
  expect(dry.exitCode).toBe(10);
  const { exitCode, json, stderr } = await installation.run(...words, ...ADAPTED, "--json");
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 3 });
  expect(json).toMatchObject({ tables: 1, rows: 1, errors: [] });
  expect(json.left_out).toEqual([
    {
      entry: "VIEW public.slow",
      reason: "it needs extension pg_stat_statements, which is skipped and not in the target",
      ...{ table: null, sql: null },
    },
  ]);
  expect(await relations(target)).toMatchObject([
    { relname: "orders", owner: low, acl: null, comment: null },
  ]);
});

test("a skipped extension that an administrator has created serves what needs it", async () => {
  const target = await database(`owner to ${low}`);
  await postgres.connect(target)`create extension pg_stat_statements`;
  const { json } = await installation.ok(
    "restore",
    "-d",
    portable,
    "-t",
    url(low, target),
    ...ADAPTED,
    "--json",
  );
  expect(json.left_out).toEqual([]);
  expect((await relations(target)).map(({ relname }) => relname)).toEqual(["orders", "slow"]);
});

test("--role restores as another role, also into a database that it creates", async () => {
  const target = await database();
  await postgres
    .connect(target)
    .unsafe(`grant create on schema public to ${group}; grant create on database ${target} to ${group}`)
    .simple();
  const words = ["restore", "-d", portable, ...ADAPTED, "--role", group as string];
  const { exitCode } = await installation.run(...words, "-t", url(low, target));
  expect(exitCode).toBe(3);
  expect(await relations(target)).toMatchObject([{ relname: "orders", owner: group }]);

  const made = `made_${suffix}`;
  databases.push(made);
  const refused = await installation.run(...words, "-t", url(low, made), "--create");
  expect(refused.stderr).toContain(`role "${group}" may not restore the database (CREATEDB)`);
  const created = await installation.run(...words.slice(0, -2), "-t", url(low, made), "--create");
  expect({ exitCode: created.exitCode, stderr: created.stderr }).toMatchObject({ exitCode: 3 });
  expect(await relations(made)).toMatchObject([{ relname: "orders", owner: low }]);

  const stranger = await installation.run(...words, "-t", url(weak, target), "--dry-run");
  expect(stranger.exitCode).toBe(10);
  expect(stranger.stderr).toContain(`permission denied to set role "${group}"`);
});

test("a role without rights in the schema is told so", async () => {
  const target = await database();
  const { exitCode, stderr } = await installation.run(
    ...["restore", "-d", portable, "-t", url(weak, target), ...ADAPTED],
  );
  expect(exitCode).toBe(10);
  expect(stderr).toContain(`objects of ${weak} in schema public`);
  expect(stderr).toContain(`GRANT CREATE ON SCHEMA "public" TO "${weak}";`);
});

test("on a provider's server these are risks, because its administrators may do more", async () => {
  const target = await database(`owner to ${low}`);
  const admin = postgres.connect();
  await admin`create role rds_superuser`;
  try {
    const { exitCode, json } = await installation.run(
      ...["restore", "-d", portable, "-t", url(low, target), "--no-owner", "--no-privileges"],
      ...["--dry-run", "--json"],
    );
    expect(exitCode).toBe(0);
    expect(json.lacks).toMatchObject([{ kind: "managed", name: "extension pg_stat_statements" }]);
  } finally {
    await admin`drop role rds_superuser`;
  }
});

test("ALTER DATABASE … SET role of the source and of the target does not change who restores", async () => {
  const admin = postgres.connect();
  await admin.unsafe(`alter database ${portable} set role = ${group}`);
  await installation.ok("backup", "--database", portable);
  const made = `role_${suffix}`;
  databases.push(made);
  await installation.ok("restore", "-d", portable, "-t", `main/${made}`, "--create");
  expect(
    await admin`select setconfig from pg_db_role_setting join pg_database d on d.oid = setdatabase
    where datname = ${made}`,
  ).toMatchObject([{ setconfig: [`role=${group}`] }]);

  const target = await database(`set role = ${group}`);
  const words = ["restore", "-d", portable, "-t", `main/${target}`];
  await installation.ok(...words);
  const [orders] = await relations(target);
  expect(orders).toMatchObject({ relname: "orders", owner });
});
