import { expect, setDefaultTimeout, test } from "bun:test";
import { Installation, localStorage } from "../../lab/installation.ts";
import { usePostgres } from "../../lab/servers/use-postgres.ts";

setDefaultTimeout(60_000);

const postgres = usePostgres();

test("a table whose type is missing is refused with the type, and the statement that creates it", async () => {
  const source = await postgres.createDatabase();
  const inSource = postgres.connect(source);
  await inSource.unsafe(`create type mood as enum ('good', 'bad'); create domain nick as text; create extension citext;
    create function one() returns int language sql immutable return 1;
    create table person (m mood, all_m mood[], n nick, c citext, d int default one());
    create view moods as select m from person; insert into person (m) values ('bad')`);
  await using installation = await Installation.make({
    postgres: postgres.address,
    databases: [source],
    storages: (directory) => [localStorage("disk", directory)],
  });
  await installation.ok("backup");
  const target = await postgres.createDatabase();
  const words = ["restore", "-d", source, "--target", `main/${target}`];
  const refused = await installation.run(...words, "--table", "person");
  expect(refused.exitCode).toBe(10);
  expect(refused.stderr).toContain(
    "it lacks extension citext, type public.mood, domain public.nick, function public.one(), which table",
  );
  const [, hint = ""] = refused.stderr.split("hint: run in psql, in the target database:\n");
  expect(hint).toMatch(/^CREATE TYPE public\.mood AS ENUM/m);
  // The hint creates all that is needed.
  await postgres.connect(target).unsafe(hint).simple();
  await installation.ok(...words, "--table", "person", "--into-existing");
  const rows = await postgres.connect(target)<{ m: string }[]>`select m from person`;
  expect(rows.map(({ m }) => m)).toEqual(["bad"]);

  const other = await postgres.createDatabase();
  const view = await installation.run(
    "restore",
    "-d",
    source,
    "--target",
    `main/${other}`,
    "--table",
    "moods",
  );
  expect(view.stderr).toContain(
    "it lacks type public.mood, table public.person, which view public.moods needs; ",
  );
  expect(view.stderr).toContain("hint: restore these too: --table person");
});

test("a dry run prints every obstacle with its hint", async () => {
  const role = `Sole owner ${crypto.randomUUID()}`;
  const source = await postgres.createDatabase();
  const inSource = postgres.connect(source);
  await inSource.unsafe(
    `create role "${role}"; create table kept (id int); alter table kept owner to "${role}"`,
  );
  await using installation = await Installation.make({
    postgres: postgres.address,
    databases: [source],
    storages: (directory) => [localStorage("disk", directory)],
  });
  await installation.ok("backup");
  await inSource.unsafe(`drop table kept; drop role "${role}"; create table other (id int)`);
  const words = ["restore", "-d", source, "--target", `main/${source}`];
  const dry = await installation.run(...words, "--dry-run");
  expect(dry.exitCode).toBe(10);
  expect(dry.stdout).toContain(`it lacks role "${role}"; nothing was changed`);
  expect(dry.stdout).toContain(`CREATE ROLE "${role}";`);
  expect(dry.stdout).toMatch(/is not empty \(1 relation.*\nhint: restore into a new database with --create/);
  const { obstacles } = (await installation.run(...words, "--dry-run", "--json")).json;
  expect(obstacles.map(({ kind }: { kind: string }) => kind)).toEqual(["lacks", "contents"]);
  expect((await installation.run(...words)).stderr).toContain("--dry-run shows 1 more obstacle");
});
