import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { Installation, localStorage } from "../../lab/installation.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

/** Partitions that the config selects for the dump without the table that they belong to. */

setDefaultTimeout(120_000);
const postgres = usePostgres();
let installation: Installation;
let source: string;

const PARENT = `create table parts (id int, d int, primary key (id, d)) partition by list (d); create index on parts (d)`;

beforeAll(async () => {
  source = await postgres.createDatabase();
  await postgres
    .connect(source)
    .unsafe(
      `${PARENT}; create table part_1 partition of parts for values in (1);
       create table part_2 partition of parts for values in (2) partition by list (id);
       create table part_2_1 partition of part_2 default;
       create table log (d int) partition by list (d); create table log_1 partition of log for values in (1);
       create table part_3 partition of parts for values in (3); insert into parts values (1, 1), (2, 2), (3, 3)`,
    )
    .simple();
  installation = await Installation.make({
    postgres: postgres.address,
    databases: [source],
    storages: (directory) => [localStorage("disk", directory)],
  });
});
afterAll(() => installation[Symbol.asyncDispose]());

async function backup(jobs: number): Promise<string> {
  await installation.configure({
    more: `[dump]\njobs = ${jobs}\n[restore_test]\nserver = "${postgres.url("postgres")}"\nmax_bytes = "1GiB"
[[database]]\nname = "${source}"\ninclude_tables = ["part_1", "part_2", "log_1"]\n`,
  });
  return (await installation.ok("backup", "--json")).json.backups[0].backup_id;
}

async function attached(database: string): Promise<string[]> {
  const rows = await postgres.connect(database)<{ name: string }[]>`
    select inhrelid::regclass || ' of ' || inhparent::regclass as name from pg_inherits
    where inhrelid::regclass::text !~ '_(key|pkey|idx)$' order by 1`;
  return rows.map(({ name }) => name);
}

test.each([1, 2])(
  "they become tables of their own where that table is missing (%i streams)",
  async (jobs) => {
    const id = await backup(jobs);
    const target = `restored_${jobs}_${source}`;
    const words = ["restore", id, "--target", `main/${target}`, "--create", "--json"];
    const done = await installation.run(...words);
    expect(done.exitCode, done.stderr).toBe(0);
    expect(done.json).toMatchObject({
      ...{ tables: 4, rows: 2 },
      unattached: ["public.log_1", "public.part_1", "public.part_2"],
    });
    expect(await attached(target)).toEqual(["part_2_1 of part_2"]);
    const tested = await installation.run("restore-test", id, "--json");
    expect(tested.exitCode, tested.stderr).toBe(0);
  },
);

test("a target that has the table gets a partition of it", async () => {
  const id = await backup(1);
  const target = await postgres.createDatabase();
  await postgres.connect(target)`create table log (d int) partition by list (d)`;
  const done = await installation.run(
    "restore",
    id,
    "--target",
    `main/${target}`,
    "--into-existing",
    "--json",
  );
  expect(done.exitCode, done.stderr).toBe(0);
  expect(done.json.unattached).toEqual(["public.part_1", "public.part_2"]);
  expect(await attached(target)).toEqual(["log_1 of log", "part_2_1 of part_2"]);
});

test("copies in another schema are never attached to the table of the target", async () => {
  const id = await backup(1);
  const target = await postgres.createDatabase();
  await postgres.connect(target).unsafe(PARENT).simple();
  const words = ["--table", "part_1", "--into-schema", "old"];
  const done = await installation.run("restore", id, "--target", `main/${target}`, ...words, "--json");
  expect(done.exitCode, done.stderr).toBe(0);
  expect(await attached(target)).toEqual([]);
  expect(await postgres.connect(target)`select from parts`).toHaveLength(0);
  expect(await postgres.connect(target)`select from old.part_1`).toHaveLength(1);
});
