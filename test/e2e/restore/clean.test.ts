import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { contentsOf } from "../../lab/data/compare-databases.ts";
import { Installation, localStorage } from "../../lab/installation.ts";
import { watched } from "../../lab/machine/running.ts";
import { compareByName, usePostgres } from "../../lab/servers/use-postgres.ts";

/** What `--clean` may drop, and that a failed restore has changed nothing. */

setDefaultTimeout(120_000);
const postgres = usePostgres();
let installation: Installation;
let source: string;
let backup: string;

beforeAll(async () => {
  source = await postgres.createDatabase();
  await postgres
    .connect(source)
    .unsafe(`create table a (i int primary key); create table b (i int primary key, a int references a);
      insert into a select generate_series(1, 100); insert into b select i, i from a;
      create table ev (id int, at date not null, primary key (id, at)) partition by range (at);
      create table ev_1 partition of ev for values from ('2025-01-01') to ('2025-02-01');
      insert into ev values (1, '2025-01-05');
      create extension postgres_fdw; create server far foreign data wrapper postgres_fdw;
      create table remote (id int, at date not null) partition by range (at);
      create foreign table remote_1 partition of remote for values from ('2025-01-01') to ('2025-02-01') server far;
      create function twice(int) returns int language sql immutable as 'select 2 * $1';
      create type mood as enum ('good'); create table loose as select 1 as i`)
    .simple();
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [source],
    storages: (directory) => [localStorage("disk", directory)],
    more: '[dump]\nlock_wait_timeout = "2s"',
  });
  backup = await installation.backUp();
});
afterAll(() => installation[Symbol.asyncDispose]());

async function copyOfSource(...statements: string[]): Promise<string> {
  const target = await postgres.createDatabase();
  await installation.ok("restore", backup, "-t", `main/${target}`);
  for (const statement of statements) await postgres.connect(target).unsafe(statement).simple();
  return target;
}

const clean = (target: string, ...words: string[]) =>
  installation.run("restore", backup, "-t", `main/${target}`, "--clean", ...words);
const factsOf = async (target: string) => (await contentsOf(postgres.connect(target))).facts;

test("replaces partitioned tables, including foreign partitions", async () => {
  const target = await copyOfSource("delete from ev; drop table ev_1; update a set i = -i where i > 100");
  const { exitCode, stderr } = await clean(target);
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
  expect((await compareByName(postgres, source, target)).differences).toEqual([]);
});

test.each([
  ["a view", "create view mine as select * from a", "view public.mine"],
  [
    "a view of a view",
    "create view one as select * from a; create view two as select * from one",
    "view public.one",
  ],
  ["a foreign key", "create table mine (a int references a)", "constraint mine_a_fkey on table public.mine"],
  ["a row type", "create table mine (a a)", "column a of table public.mine"],
  [
    "a default",
    "create table mine (i int default twice(2))",
    "default value for column i of table public.mine",
  ],
  ["a column's type", "create table mine (m mood)", "column m of table public.mine"],
  [
    "a column of a foreign server",
    "create foreign table mine (i int) server far",
    "foreign table public.mine",
  ],
  [
    "a partition of its own",
    "create table ev_2 partition of ev for values from ('2025-02-01') to ('2025-03-01'); insert into ev_2 values (1, '2025-02-01')",
    "partition public.ev_2 of table public.ev",
  ],
])(
  "%s of the target that would be dropped or prevents a drop is named, and nothing is changed",
  async (_, make, name) => {
    const target = await copyOfSource(make);
    const before = await factsOf(target);
    for (const words of [[], ["--jobs", "2"], ["--keep-going"]]) {
      const { exitCode, stderr } = await clean(target, ...words);
      expect({ exitCode, stderr }).toMatchObject({ exitCode: 10 });
      expect(stderr).toContain(name);
      expect(stderr).toContain("nothing was changed");
      expect(stderr).toMatch(/hint: /);
    }
    const dry = await clean(target, "--dry-run", "--json");
    expect(dry.exitCode).toBe(10);
    expect(dry.json.dependents).toContainEqual(expect.stringContaining(name));
    expect(dry.json.obstacle).toContain(name);
    expect(await factsOf(target)).toEqual(before);
  },
);

test("of a table alone is refused if it has keys, indexes and the like that the backup does not contain", async () => {
  const target = await copyOfSource(
    "create index more on loose (i); create policy mine on loose; alter table loose add j int generated always as identity",
  );
  const own = await clean(target, "--table", "loose", "--dry-run", "--json");
  expect(own.json.dependents).toEqual(
    ["index public.more", "policy mine on table public.loose", "sequence public.loose_j_seq"].map((name) =>
      expect.stringMatching(new RegExp(name.replace("public.", "(public\\.)?"))),
    ),
  );
  const before = await factsOf(target);
  const real = await clean(target, "--table", "loose");
  expect({ exitCode: real.exitCode, stderr: real.stderr }).toEqual({
    exitCode: 10,
    stderr: expect.stringMatching(/index public\.more.*nothing was changed/),
  });
  expect(await factsOf(target)).toEqual(before);
  await postgres
    .connect(target)
    .unsafe("drop index more; drop policy mine on loose; alter table loose drop j")
    .simple();
  // Those that the backup contains are replaced with their tables.
  await postgres.connect(target)`delete from b where i > 50`;
  const { exitCode, stderr } = await clean(target, "--table", "a", "--table", "b");
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
  expect((await compareByName(postgres, source, target)).differences).toEqual([]);
  // A table without any of them is replaced.
  await postgres.connect(target)`insert into loose values (2)`;
  expect((await clean(target, "--table", "loose", "--json")).json).toMatchObject({ tables: 1, rows: 1 });
  expect(await postgres.connect(target)`select i from loose`).toMatchObject([{ i: 1 }]);
});

test("that fails midway has changed nothing, and says so", async () => {
  // No catalog shows this in advance: a trigger that forbids one of the last statements.
  const target = await copyOfSource(
    `create function refuse() returns event_trigger language plpgsql as $$
      begin raise exception 'no keys today'; end $$;
     create event trigger refuse on ddl_command_end when tag in ('ALTER TABLE') execute function refuse()`,
  );
  const before = await factsOf(target);
  const { exitCode, stderr } = await clean(target);
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 10 });
  expect(stderr).toContain(`nothing of database "${target}" was changed`);
  expect(await factsOf(target)).toEqual(before);
});

test("a wait for a lock is limited, and shows who holds it", async () => {
  const target = await copyOfSource();
  const before = await factsOf(target);
  const holder = await postgres.connect(target).reserve();
  try {
    await holder`set application_name to 'a forgotten report'`;
    await holder`begin`;
    await holder`select from a`;
    const [{ pid }] = (await holder`select pg_backend_pid() as pid`) as unknown as [{ pid: number }];
    for (const words of [[], ["--jobs", "2"], ["--keep-going"]]) {
      const { exitCode, stderr } = await clean(target, "--table", "a", ...words);
      // Its dependent `b` belongs to the backup but not to the selection.
      expect({ exitCode, stderr }).toMatchObject({ exitCode: 10 });
      expect(stderr).toContain("constraint b_a_fkey on table public.b");
    }
    const child = watched(installation.start("restore", backup, "-t", `main/${target}`, "--clean"));
    expect(await child.ended).toMatchObject({ exitCode: 10 });
    expect(child.stderr()).toMatch(
      new RegExp(
        `waited 2 s for a lock on relation public\\.a, held by pid ${pid} \\(user \\S+ application "a forgotten report", idle in transaction`,
      ),
    );
    expect(child.stderr()).toContain("the restore waits for a lock");
    expect(child.stderr()).toContain(`nothing of database "${target}" was changed`);
    const waiting =
      await holder`select from pg_stat_activity where datname = ${target} and wait_event_type = 'Lock'`;
    expect(waiting).toHaveLength(0);
  } finally {
    await holder`rollback`;
    holder.release();
  }
  expect(await factsOf(target)).toEqual(before);
  expect((await clean(target)).exitCode).toBe(0);
});
