import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { Installation, localStorage } from "../../lab/installation.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

/** Views, foreign keys and the like that need a table which the config leaves out of the dump. */

setDefaultTimeout(120_000);
const postgres = usePostgres();
let installation: Installation;
let source: string;

beforeAll(async () => {
  source = await postgres.createDatabase();
  await postgres
    .connect(source)
    .unsafe(
      `create table log (id int primary key); create table kept as select i from generate_series(1, 3) i;
       create table ref (log_id int references log, i int); insert into log values (1); insert into ref values (1, 7);
       create view seen as select id from log; comment on view seen is 'x'; create view again as select * from seen;
       create materialized view counted as select count(*) as n from log; create index on counted (n);
       create function newest() returns setof again language sql as 'select 1';
       create view fine as select i from kept; create policy by_log on kept using (exists (select from log));
       create rule note as on insert to kept do also insert into log values (2);
       create function of_log(entry log, other "char", variadic more log[]) returns int language sql as 'select 1';
       create function logs(int) returns setof log language sql as 'select 1'; create procedure use_log(log) language sql as '';
       create table child (extra serial) inherits (log); insert into child values (5), (6); create index on child (extra);
       create table grandchild () inherits (child); insert into grandchild values (7); create view of_child as table child`,
    )
    .simple();
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [source],
    storages: (directory) => [localStorage("disk", directory)],
    more: `[[database]]\nname = "${source}"\nexclude_tables = ["log"]\n`,
  });
});
afterAll(() => installation[Symbol.asyncDispose]());

const LEFT_OUT = [
  "FK CONSTRAINT public.ref ref_log_id_fkey",
  "FUNCTION public.logs(integer)",
  "FUNCTION public.newest()",
  'FUNCTION public.of_log(public.log, "char", public.log[])',
  "MATERIALIZED VIEW public.counted",
  "POLICY public.kept by_log",
  "PROCEDURE public.use_log(public.log)",
  "RULE public.kept note",
  "TABLE public.child",
  "TABLE public.grandchild",
  "VIEW public.again",
  "VIEW public.of_child",
  "VIEW public.seen",
];

test.each([1, 2])("they are told by the backup, and left out by a restore (%i streams)", async (jobs) => {
  await installation.configure({
    more: `[dump]\njobs = ${jobs}\n[[database]]\nname = "${source}"\nexclude_tables = ["log"]\n`,
  });
  const made = await installation.ok("backup", "--json");
  expect(made.stderr).toContain("a restore leaves out objects that need tables");
  const id = made.json.backups[0].backup_id;
  expect((await installation.ok("show", id)).stdout).toContain(
    "without table public.log, so that it cannot restore table public.child, materialized view public.counted, table public.grandchild and 10 others",
  );
  const target = `main/restored_${jobs}_${source}`;
  const words = ["restore", id, "--target", target, "--create", "--json"];
  const entries = ({ json }: { json: { left_out: { entry: string }[] } }) =>
    json.left_out.map(({ entry }) => entry).toSorted();
  const dry = await installation.run(...words, "--dry-run");
  expect({ exitCode: dry.exitCode, entries: entries(dry) }).toEqual({ exitCode: 3, entries: LEFT_OUT });
  const done = await installation.run(...words);
  expect(done.exitCode, done.stderr).toBe(3);
  expect(entries(done)).toEqual(LEFT_OUT);
  expect(done.json).toMatchObject({ errors_ignored: 0, tables: 2, rows: 4 });
  expect(
    done.json.left_out.find(({ entry }: { entry: string }) => entry === "VIEW public.seen"),
  ).toMatchObject({
    reason: "it needs public.log, which the backup is without, and the target lacks it",
    sql: expect.stringContaining("CREATE VIEW public.seen"),
  });
  const sql = postgres.connect(target.slice("main/".length));
  expect(
    (
      await sql`select relname from pg_class where relkind in ('v', 'm') and relnamespace = 'public'::regnamespace`
    ).map(({ relname }) => relname),
  ).toEqual(["fine"]);
});

test("a target that has the table gets them, and a selection lists only its own", async () => {
  const target = await postgres.createDatabase();
  await postgres.connect(target)`create table log (id int primary key)`;
  await postgres.connect(target)`insert into log values (1)`;
  const whole = await installation.run(
    "restore",
    "latest",
    "-d",
    source,
    "--target",
    `main/${target}`,
    "--into-existing",
    "--json",
  );
  expect(whole.exitCode, whole.stderr).toBe(0);
  expect(whole.json.left_out).toEqual([]);

  const other = await postgres.createDatabase();
  const words = ["restore", "latest", "-d", source, "--target", `main/${other}`, "--table", "ref", "--json"];
  const part = await installation.run(...words);
  expect(part.exitCode, part.stderr).toBe(3);
  expect(part.json.left_out.map(({ entry }: { entry: string }) => entry)).toEqual([LEFT_OUT[0]]);
  expect(part.json.rows).toBe(1);
});

test("a restore test does not miss them", async () => {
  const { exitCode, stdout, stderr } = await installation.run("restore-test", source, "--json");
  expect(exitCode, stdout + stderr).toBe(0);
});
